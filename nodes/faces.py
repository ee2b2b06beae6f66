"""Find the face in every frame, and encode it for the model."""

from fractions import Fraction

from comfy_api.latest import io

from ..latentsync_core.options import ALIGNMENTS, DEFAULT_FACE, DEFAULT_MAX_GAP, DEFAULT_THRESHOLD, MISSING, Seam
from .types import (
    CATEGORY,
    FRAME_CHOICES,
    IMAGES_FPS,
    FaceLatentsType,
    FacesType,
    TrackedFaces,
)

PREVIEW_FRAMES = 8
SHOWN_FRAMES = 24  # below the node, small, to look through
PREVIEW_RESOLUTION = 256  # pixels of the crop whose mask is shown
BATCH_FRAMES = 16


class FaceTrack(io.ComfyNode):
    """VIDEO or IMAGE -> a face in every frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncFaceTrack",
            display_name="LatentSync Face Track",
            category=CATEGORY,
            description="Follows one face through the clip. Frames without a face stay as they are in the result; short "
            "gaps are bridged; a cut starts afresh. The video is read as a stream and never held as a whole.",
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The clip as a VIDEO: any length, read as a stream."),
                io.Image.Input("images", optional=True, tooltip="A short clip as IMAGE frames, in place of the video."),
                io.Float.Input(
                    "images_fps",
                    default=IMAGES_FPS,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second of the images; a video brings its own rate.",
                ),
                io.Combo.Input(
                    "alignment",
                    options=list(ALIGNMENTS),
                    tooltip="smooth: the crop follows the face with sub-pixel steps and does not tremble. reference: "
                    "whole pixels, as published.",
                ),
                io.Float.Input(
                    "detection_threshold",
                    default=DEFAULT_THRESHOLD,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    tooltip="How sure the detector must be of a face. Lower it for small, dark or drawn faces.",
                ),
                io.Int.Input(
                    "max_gap",
                    default=DEFAULT_MAX_GAP,
                    min=0,
                    max=100,
                    tooltip="Frames without a face that are bridged when it is known on both sides; longer gaps pass "
                    "through untouched.",
                ),
                io.String.Input(
                    "face",
                    default=DEFAULT_FACE,
                    optional=True,
                    tooltip="Who speaks: auto (the largest and surest face of each shot), largest, left, right, a number "
                    "of the preview, a point x,y or a box x0,y0,x1,y1 in pixels or as shares of the frame (0.25,0.5). "
                    "Or choose with the mouse below.",
                ),
                io.Mask.Input(
                    "face_mask",
                    optional=True,
                    tooltip="White where the face to sync is, when somebody is first there; used in place of the words. "
                    "Any size, laid over the whole frame.",
                ),
                io.Combo.Input(
                    "missing",
                    options=list(MISSING),
                    default=MISSING[0],
                    optional=True,
                    tooltip="Frames in which the face is not found. pass: they stay untouched. hold: the last known place "
                    "is synced on, for faces that only the detector loses. stop: an error that lists their times.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample. Only MuseTalk needs it, as its crop is another.",
                ),
            ],
            outputs=[
                FacesType.Output(display_name="faces", tooltip="The face in every frame, and where the frames are."),
                io.Image.Output(
                    display_name="preview",
                    tooltip="Up to 8 frames over the clip with everybody's number; dots mark the face that is to speak.",
                ),
                io.Mask.Output(display_name="mask", tooltip="Where the mouth will be redrawn in those frames."),
            ],
        )

    @classmethod
    def execute(
        cls,
        images_fps: float,
        alignment: str,
        detection_threshold: float,
        max_gap: int,
        video=None,
        images=None,
        face: str = DEFAULT_FACE,
        face_mask=None,
        missing: str = MISSING[0],
        model=None,
    ) -> io.NodeOutput:
        from ..latentsync_core.faces import mask_selection, parse_face
        from ..latentsync_core.faces.tracking.search import TrackingSettings
        from ..latentsync_core.media import is_variable
        from ..latentsync_core.visualize.track_preview import draw_preview
        from .host.native_musetalk import box_of
        from .host.shown import SHOWN_SIDE, shown_frames
        from .host.tracking import track_clip
        from .host.unfolded import refuse_second_clip
        from .host.video_source import open_clip

        refuse_second_clip()
        given = None if face_mask is None else face_mask.reshape(-1, *face_mask.shape[-2:])[0].float().cpu().numpy()
        selection = parse_face(face) if given is None else mask_selection(given, "face_mask")
        settings = TrackingSettings(detection_threshold=round(detection_threshold, 6), max_gap=max_gap)
        open_reader = open_clip(video, images, Fraction(str(round(images_fps, 3))))
        with open_reader() as reader:
            tracked, people = track_clip(reader, selection, settings, missing)
            variable = is_variable(tracked.times, reader.info.fps)
            faces = TrackedFaces(
                open_reader,
                tracked.track,
                tracked.times,
                reader.info.fps,
                variable,
                alignment,
                box=None if model is None else box_of(model),
            )
            cut = faces.crops(PREVIEW_RESOLUTION, Seam())
            preview = draw_preview(
                reader,
                tracked.track,
                cut.soft_mask,
                people,
                images=PREVIEW_FRAMES,
                shown=SHOWN_FRAMES,
                side=SHOWN_SIDE,
            )
        shown = shown_frames(preview.shown, len(tracked.track), tracked.track.width, tracked.track.height)
        return io.NodeOutput(faces, preview.images, preview.masks, ui=shown)


class FaceEncode(io.ComfyNode):
    """Faces + VAE -> the latents the model is conditioned on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncFaceEncode",
            display_name="LatentSync Face Encode",
            category=CATEGORY,
            description="Cuts out every face, aligned, and encodes it twice: with the mouth masked out, and whole. "
            "Nothing here depends on the voice, so another voice re-uses the result.",
            inputs=[
                FacesType.Input("faces", tooltip="From LatentSync Face Track."),
                io.Vae.Input(
                    "vae",
                    tooltip="A Stable Diffusion 1.5 VAE; sd-vae-ft-mse is the one it was trained with. The embedded model needs "
                    "the embedded VAE, from LatentSync Load VAE.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=1024,
                    step=64,
                    tooltip="Size of the crop in pixels: 256 for 1.5, 512 for 1.6. Connect the resolution of Load Model; "
                    "0 is the own size of the model that is connected here.",
                ),
                io.Combo.Input(
                    "crops",
                    options=list(FRAME_CHOICES),
                    tooltip="Which crops to hand on as IMAGE. All of them take 0.8 MB a frame at 256 and 3 MB at 512.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="From LatentSync Load Model: with a resolution of 0 it says how large the crops are. Any change "
                    "to it encodes the faces again.",
                ),
            ],
            outputs=[
                FaceLatentsType.Output(
                    display_name="face_latents", tooltip="Masked and whole faces, for Conditioning."
                ),
                io.Image.Output(display_name="crops", tooltip="The aligned faces as the model sees them."),
            ],
        )

    @classmethod
    def execute(cls, faces: TrackedFaces, vae, resolution: int, crops: str, model=None) -> io.NodeOutput:
        from dataclasses import replace

        import torch

        from ..latentsync_core.faces import mask_lower_half
        from ..latentsync_core.generators.face_latents import encode_faces, hide_lower_face
        from ..latentsync_core.generators.latentsync.known_face import face_error
        from .host.crop_size import chosen_crop_size
        from .host.folders import disk_cache
        from .host.native_network import require_ours
        from .host.progress import node_callbacks
        from .host.vae import HostCodec
        from .host.vae_loading import is_embedded

        present = faces.track.present.nonzero()[0].tolist()
        batches = [present[i : i + BATCH_FRAMES] for i in range(0, len(present), BATCH_FRAMES)]
        size = chosen_crop_size(resolution, None if model is None else require_ours(model).crop_size)
        cut = faces.crops(size, Seam())
        callbacks, kept = node_callbacks(), []

        def cut_out(frames):
            for frame in frames:
                crop = cut.crop(frame)
                if crops == FRAME_CHOICES[1] or not kept:
                    kept.append(torch.from_numpy(crop).float() / 255)
                yield frame.index, crop

        with faces.open_reader() as reader:
            latents = encode_faces(
                cut_out(reader.frames_at(present)),
                batches,
                HostCodec(vae),
                torch.Generator(),  # draws nothing: the host's VAE gives means without spread
                hide_mouth=hide_lower_face if faces.box is None else mask_lower_half,
                on_progress=callbacks.progress("encode"),
                check_cancelled=callbacks.check_cancelled,
            )
        latents = replace(latents, embedded=is_embedded(vae), generator=faces.generator)
        if latents.embedded:
            with faces.open_reader() as reader:
                latents = replace(latents, error=face_error(reader, faces.track, present, disk_cache()))
        return io.NodeOutput(latents, torch.stack(kept))
