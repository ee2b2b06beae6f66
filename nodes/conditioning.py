"""Bring face and voice together as positive, negative and latent, for any sampler."""

from comfy_api.latest import io

from .types import CATEGORY, ClipTokens, FaceLatentsType, TokensType


class Conditioning(io.ComfyNode):
    """Face latents + tokens -> positive, negative, latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncConditioning",
            display_name="LatentSync Conditioning",
            category=CATEGORY,
            description="Joins each frame's face with what it hears. positive carries the voice, negative stands for no "
            "voice; both and the latent go to the LatentSync Sampler or to a stock sampler (ddim, ddim_uniform, cfg 1.5).",
            inputs=[
                FaceLatentsType.Input("face_latents", tooltip="From LatentSync Face Encode."),
                TokensType.Input("tokens", tooltip="From LatentSync Audio Chunks or Position Encoding."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Face and voice of every frame."),
                io.Conditioning.Output(display_name="negative", tooltip="The same faces without a voice."),
                io.Latent.Output(
                    display_name="latent", tooltip="One empty latent for every frame that will be synced."
                ),
            ],
        )

    @classmethod
    def execute(cls, face_latents, tokens: ClipTokens) -> io.NodeOutput:
        import torch

        from ..latentsync_core.diffusion import disjoint_windows
        from ..latentsync_core.errors import LatentSyncError
        from ..latentsync_core.models.unet.checkpoint import GENERATOR_NAMES
        from .host.native_model import EMBEDDED_VAE, FACE_ERROR
        from .host.native_network import CONDITION, GENERATOR, POSITIONS, VOICELESS, WINDOWS

        synced = tokens.synced
        if not synced:
            raise LatentSyncError("No output frame shows a face, so there is nothing to sync; check the Face Track.")
        if face_latents.generator != tokens.generator:
            faces, voice = (GENERATOR_NAMES[name] for name in (face_latents.generator, tokens.generator))
            raise LatentSyncError(
                f"The faces are cut for {faces}, the voice is heard for {voice}: connect the model to Face Track and choose "
                f"its generator in LatentSync Load Whisper."
            )
        sources = [tokens.timeline.source[frame] for frame in synced]
        condition = face_latents.per_frame(sources)  # (frames, 9 or 8, h, w)
        spans = disjoint_windows(tokens.windows)
        voice = torch.cat([tokens.tokens[span.start : span.stop] for span in spans])  # (frames, n, d)
        extra = {CONDITION: condition, WINDOWS: tuple(tokens.batch_windows), POSITIONS: tokens.positions}
        extra[GENERATOR] = tokens.generator
        extra |= {EMBEDDED_VAE: face_latents.embedded, FACE_ERROR: face_latents.error}
        latent = torch.zeros(len(synced), 4, *condition.shape[2:])
        # Which null it was trained with, only the model that samples knows; until then one number, whatever the length.
        silence = torch.zeros(1, 1, 1).expand_as(voice)
        return io.NodeOutput([[voice, extra]], [[silence, {**extra, VOICELESS: True}]], {"samples": latent})
