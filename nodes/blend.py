"""Put the generated faces back into the video."""

from dataclasses import replace

from comfy_api.latest import io

from ..latentsync_core.options import (
    BLENDS,
    CODECS,
    COLOR_MATCHES,
    DEFAULT_COLOR_MATCH,
    DEFAULT_CRF,
    DEFAULT_EASE,
    DEFAULT_FEATHER,
    DEFAULT_PITCH,
    DEFAULT_YAW,
    MASKS,
    MAX_CRF,
)
from .types import CATEGORY, FRAME_CHOICES, ClipTokens, FacesType, TokensType, TrackedFaces

UNCONNECTED = object()  # an input without a link; one whose value is still to come is None
NO_FACES = "Face Blend needs either a latent with its VAE, or crops; connect one of the two."


class FaceBlend(io.ComfyNode):
    """Faces + tokens + LATENT or IMAGE crops -> VIDEO with the original voice.

    The latent and the crops are lazy: what is wrong without them is said before they are sampled, and of the two only
    the one that is used is.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncFaceBlend",
            display_name="LatentSync Face Blend",
            category=CATEGORY,
            description="Decodes the generated faces and pastes them into their frames. Every sample outside the "
            "pasted face's soft edge, the frame rate and the voice stay the originals. The result streams into one file.",
            inputs=[
                FacesType.Input("faces", tooltip="From LatentSync Face Track."),
                TokensType.Input("tokens", tooltip="From LatentSync Audio Chunks: the timeline and the voice."),
                io.Latent.Input("latent", optional=True, lazy=True, tooltip="From a sampler; needs the VAE."),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The VAE the faces were encoded with. Latents do not tell whose they are: connect one VAE to both.",
                ),
                io.Image.Input(
                    "crops",
                    optional=True,
                    lazy=True,
                    tooltip="Generated faces as IMAGE in place of the latent: decode, restore or sharpen them with any "
                    "image node first. One square image per synced frame, any size; the latent is not looked at then.",
                ),
                io.Combo.Input(
                    "blend",
                    options=list(BLENDS),
                    tooltip="mouth: only the redrawn lower face, feathered, fading out where the head turns away or the face is lost; eyes and nose stay the video's own pixels. "
                    "reference: the whole crop, as published.",
                ),
                *encoding_inputs(),
                *fading_inputs(),
                *seam_inputs(),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video", tooltip="With the original voice; Save Video copies it as it is."
                ),
                io.Image.Output(display_name="images", tooltip="The finished frames, as many as asked for."),
                io.Mask.Output(display_name="mask", tooltip="The generated face's share in every pixel."),
                io.Mask.Output(
                    display_name="synced",
                    tooltip="The same for every frame of the result, 64 pixels wide or high: black where a frame was "
                    "left as it was, grey where the mouth faded.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, faces=None, latent=UNCONNECTED, vae=UNCONNECTED, crops=UNCONNECTED) -> bool | str:
        # The host reports a refusal beside the inputs named here, so one must be connected: faces always is.
        return NO_FACES if crops is UNCONNECTED and UNCONNECTED in (latent, vae) else True

    @classmethod
    def check_lazy_status(cls, latent=UNCONNECTED, vae=UNCONNECTED, crops=UNCONNECTED, **_) -> list[str]:
        if crops is not UNCONNECTED:
            return ["crops"]
        if UNCONNECTED in (latent, vae):  # in a graph that a node unfolded into, which the host does not validate
            from ..latentsync_core.errors import LatentSyncError

            raise LatentSyncError(NO_FACES)
        return ["latent"]

    @classmethod
    def execute(
        cls,
        faces: TrackedFaces,
        tokens: ClipTokens,
        blend: str,
        crf: int,
        codec: str,
        images_out: str,
        latent=None,
        vae=None,
        crops=None,
        max_yaw: float = DEFAULT_YAW,
        max_pitch: float = DEFAULT_PITCH,
        ease: int = DEFAULT_EASE,
        mask: str = MASKS[0],
        feather: float = DEFAULT_FEATHER,
        grow: float = 0.0,
        color_match: str = DEFAULT_COLOR_MATCH,
        limit=None,
    ) -> io.NodeOutput:
        from ..latentsync_core.options import FadeLimits, Seam
        from ..latentsync_core.run_log import noting_warnings
        from .host.shown import shown_video
        from .host.video import blend_to_file, clip_blend, encode_settings, mask_pictures, video_from_file

        generated, resolution = generated_faces(tokens, latent, vae, crops)
        settings = encode_settings(codec, crf)
        fade, seam = FadeLimits(max_yaw, max_pitch, ease), Seam(mask, feather, grow, color_match)
        with noting_warnings() as notes:
            cut = faces.crops(resolution, seam, blend, mask_pictures(limit))
            how = clip_blend(faces, tokens, blend, cut, fade)
        how = replace(how, notes=tuple(notes))
        path, *pictures = blend_to_file(faces, tokens, generated, how, settings, images_out == FRAME_CHOICES[1])
        return io.NodeOutput(video_from_file(path), *pictures, ui=shown_video(path))


def encoding_inputs() -> list:
    """How the result is written, and which of its frames are handed on."""
    return [
        io.Int.Input(
            "crf",
            default=DEFAULT_CRF,
            min=0,
            max=MAX_CRF,
            tooltip="Quality for h264 and hevc: 0 is best, 16 looks like the source, 23 is small. ffv1 is lossless anyway.",
        ),
        io.Combo.Input(
            "codec",
            options=list(CODECS),
            tooltip="h264 plays everywhere; hevc keeps 10 bits; ffv1 is lossless, for further work: Save Video puts it "
            "into a .mp4, which few players open, unless its format is mkv (newer ComfyUI).",
        ),
        io.Combo.Input(
            "images_out",
            options=list(FRAME_CHOICES),
            tooltip="Which frames to hand on as IMAGE and MASK. All of them take 25 MB each at 1080p: for short "
            "clips only.",
        ),
    ]


def fading_inputs() -> list:
    """Where the mouth fades out; for the mouth blend."""
    return [
        io.Float.Input(
            "max_yaw",
            default=DEFAULT_YAW,
            min=0.0,
            max=180.0,
            step=1.0,
            optional=True,
            tooltip="Degrees the head may turn to the side before the effect fades; it is gone 15 degrees on.",
        ),
        io.Float.Input(
            "max_pitch",
            default=DEFAULT_PITCH,
            min=0.0,
            max=180.0,
            step=1.0,
            optional=True,
            tooltip="Degrees the head may be raised or lowered before the effect fades.",
        ),
        io.Int.Input(
            "ease",
            default=DEFAULT_EASE,
            min=0,
            max=100,
            optional=True,
            tooltip="Frames over which the effect comes and goes where the face appears or is lost within a shot.",
        ),
    ]


def seam_inputs() -> list:
    """How the mouth meets the frame; lengths in percent of the crop's side."""
    return [
        io.Combo.Input(
            "mask",
            options=list(MASKS),
            optional=True,
            tooltip="What is pasted: fixed, the part that the model redraws, as published; mesh, of that face the part "
            "below the nose, by the mesh of every frame.",
        ),
        io.Float.Input(
            "feather",
            default=DEFAULT_FEATHER,
            min=0.0,
            max=20.0,
            step=0.1,
            optional=True,
            tooltip="Softness of the edge, in percent of the face crop's side.",
        ),
        io.Float.Input(
            "grow",
            default=0.0,
            min=-20.0,
            max=20.0,
            step=0.1,
            optional=True,
            tooltip="Widens what is pasted, in percent of the face crop's side; below 0 it shrinks.",
        ),
        io.Combo.Input(
            "color_match",
            options=list(COLOR_MATCHES),
            default=DEFAULT_COLOR_MATCH,
            optional=True,
            tooltip="ring: the mouth takes on the colours around it, so that no patch shows where the model's or the "
            "VAE's colours drift. off: as generated.",
        ),
        limit_input(),
    ]


def limit_input(raw_link: bool = False) -> io.Mask.Input:
    """Where a user lets the frames change. raw_link: it arrives as a link, not as a value."""
    return io.Mask.Input(
        "limit",
        optional=True,
        raw_link=raw_link,
        tooltip="Where the frames may change: one mask, or one for each frame of the video, as large as it or of its "
        "proportions. Black keeps the video's pixels bit for bit.",
    )


def generated_faces(tokens: ClipTokens, latent, vae, crops):
    """(output frame, face (3, h, w) in [-1, 1]) in order, and the crop size they were generated at in pixels."""
    from ..latentsync_core.errors import LatentSyncError
    from ..latentsync_core.generators.face_latents import decoded_faces
    from .host.vae import LATENT_SCALE, HostCodec

    synced = tokens.synced
    if crops is not None:
        if crops.shape[1] != crops.shape[2]:
            raise LatentSyncError(
                f"The crops are {crops.shape[2]}x{crops.shape[1]} pixels; square ones are needed, as Face Encode cuts them."
            )
        count, resolution = len(crops), 64 * max(round(crops.shape[1] / 64), 1)
        sized = (fit_crop(crop, resolution) for crop in crops)
        stream = zip(synced, sized, strict=False)
    elif latent is not None and vae is not None:
        samples = latent["samples"]
        count, resolution = len(samples), samples.shape[-1] * 8
        scaled = (samples * LATENT_SCALE).transpose(0, 1)[None]  # (1, 4, frames, h, w)
        stream = zip(synced, decoded_faces(scaled, HostCodec(vae)), strict=False)
    else:
        raise LatentSyncError(NO_FACES)
    if count != len(synced):
        raise LatentSyncError(
            f"{count} generated faces came for {len(synced)} synced frames; use faces, tokens and latent of one graph."
        )
    return stream, resolution


def fit_crop(crop, resolution: int):
    """An IMAGE crop (h, w, 3) in 0..1 as a face (3, resolution, resolution) in [-1, 1]."""
    import torch.nn.functional as F

    face = crop[..., :3].movedim(-1, 0).float().cpu() * 2 - 1
    if face.shape[1:] == (resolution, resolution):
        return face
    return F.interpolate(face[None], size=(resolution, resolution), mode="bicubic", antialias=True)[0]
