"""The mouth of the video itself, moved: an answer in seconds, before minutes are spent on diffusion."""

from comfy_api.latest import io

from ..latentsync_core.options import DEFAULT_EASE, DEFAULT_PITCH, DEFAULT_YAW
from .blend import encoding_inputs, fading_inputs, limit_input
from .types import CATEGORY, FRAME_CHOICES, ClipTokens, FacesType, TokensType, TrackedFaces


class Draft(io.ComfyNode):
    """Faces + tokens -> VIDEO whose filmed lips and jaw move as the voice asks; no model is needed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncDraft",
            display_name="LatentSync Draft",
            category=CATEGORY,
            description="Moves the filmed lips and jaw as the voice asks, in any face, without a model and in seconds. Shows "
            "whether face, timing, offset and silence are right before a sampler runs, and is a result of its own.",
            inputs=[
                FacesType.Input("faces", tooltip="From LatentSync Face Track."),
                TokensType.Input("tokens", tooltip="From LatentSync Audio Chunks: the timeline and the voice."),
                *encoding_inputs(),
                *fading_inputs(),
                limit_input(),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video", tooltip="With the original voice; Save Video copies it as it is."
                ),
                io.Image.Output(display_name="images", tooltip="The finished frames, as many as asked for."),
                io.Mask.Output(display_name="mask", tooltip="Which pixels were moved."),
                io.Mask.Output(
                    display_name="synced",
                    tooltip="The same for every frame of the result, 64 pixels wide or high: black where a frame was "
                    "left as it was.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        faces: TrackedFaces,
        tokens: ClipTokens,
        crf: int,
        codec: str,
        images_out: str,
        max_yaw: float = DEFAULT_YAW,
        max_pitch: float = DEFAULT_PITCH,
        ease: int = DEFAULT_EASE,
        limit=None,
    ) -> io.NodeOutput:
        from ..latentsync_core.faces import FadeLimits
        from .host.drafting import draft_blend, drafted_faces
        from .host.shown import shown_video
        from .host.video import blend_to_file, encode_settings, mask_pictures, video_from_file

        settings = encode_settings(codec, crf)
        how = draft_blend(faces, tokens, FadeLimits(max_yaw, max_pitch, ease), mask_pictures(limit))
        with faces.open_reader() as reader:
            drawn = drafted_faces(faces, tokens, how, reader)
            path, *pictures = blend_to_file(faces, tokens, drawn, how, settings, images_out == FRAME_CHOICES[1])
        return io.NodeOutput(video_from_file(path), *pictures, ui=shown_video(path))
