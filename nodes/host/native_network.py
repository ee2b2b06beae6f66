"""What the native MODELs of all generators have in common: the library's UNet with the host's operations, in a patcher."""

from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.attention import optimized_attention

from ...latentsync_core.diffusion.conditioning import TrainedConditioning
from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.models.embedded import KNOWS
from ...latentsync_core.models.unet.checkpoint import GENERATOR_NAMES, Checkpoint
from ...latentsync_core.models.unet.model import UNet3DConditionModel
from .memory import ModelPatcher
from .previews import EmbeddedLatents

CONDITION = "latentsync_condition"  # (frames, c, h, w): scaled latents of the faces, as the generator takes them
WINDOWS = "latentsync_windows"  # ((start, stop), ...) in frames of the batch
POSITIONS = "latentsync_positions"  # "auto": the model is to add positions if it was trained with them
GENERATOR = "latentsync_generator"  # whose faces and whose voice it is
VOICELESS = "latentsync_voiceless"  # True on the negative side


def host_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """The attention the user chose for the host."""
    return optimized_attention(q, k, v, heads)


class HostUNet(UNet3DConditionModel):
    """The library's UNet with the host's operations and calling convention."""

    def __init__(self, latentsync_config, dtype=None, device=None, operations=None):
        super().__init__(latentsync_config, operations=operations, attention=host_attention, dtype=dtype, device=device)

    def forward(self, x, timestep, context=None, control=None, transformer_options=None, kept=None, batch=None, **_):
        """x: (b, c, f, h, w); timestep: (b,); context: (b*f, n, d); kept: b DeepFeatures, where they are reused.

        batch: b, where less than that is handed over, see `UNet3DConditionModel`.
        """
        wrappers = comfy.patcher_extension.get_all_wrappers(
            comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, transformer_options or {}
        )
        run = comfy.patcher_extension.WrapperExecutor.new_class_executor(super().forward, self, wrappers)
        return run.execute(x, timestep, context, kept, batch)


class NativeConfig(comfy.supported_models_base.BASE):
    """What the host wants to know of a model: schedule, latent format, precisions."""

    unet_extra_config = {}
    sampling_settings = {"beta_schedule": "linear", "linear_start": 0.00085, "linear_end": 0.012}
    latent_format = comfy.latent_formats.SD15
    supported_inference_dtypes = [torch.float16, torch.bfloat16, torch.float32]


class NativeModel(comfy.model_base.BaseModel):
    """A generator's UNet as the host runs it, over a batch of frames.

    generator: whose it is. crop_size: the side of the faces it wants, pixels; None where nobody said.
    """

    generator: str
    crop_size: int | None = None

    def __init__(self, config: NativeConfig, model_type: comfy.model_base.ModelType, metadata: dict, device=None):
        super().__init__(config, model_type, device=device, unet_model=HostUNet)
        self.diffusion_model.metadata = metadata

    def conditioning(self, position: str = "auto") -> TrainedConditioning:
        """How this checkpoint was conditioned in training."""
        return TrainedConditioning.of(self.diffusion_model, position)

    def require_inputs(self, extra: dict) -> None:
        """LatentSyncError unless conditioning comes from our node, with faces and voice as this generator takes them."""
        if CONDITION not in extra:
            raise LatentSyncError(
                "This model needs the positive and negative of the LatentSync Conditioning node; other conditioning "
                "carries no face and no voice."
            )
        made_for = extra.get(GENERATOR, "latentsync")
        if made_for != self.generator:
            found, needed = GENERATOR_NAMES[made_for], GENERATOR_NAMES[self.generator]
            raise LatentSyncError(
                f"Faces and voice were made ready for {found}, this model is {needed}: connect it to Face Track and "
                f"choose {needed} in LatentSync Load Whisper, or load a {found} model."
            )

    def require_voice(self, tokens: torch.Tensor) -> None:
        """LatentSyncError unless tokens (frames, n, d) are as wide as the network was trained on."""
        wanted = self.diffusion_model.config.cross_attention_dim
        if tokens.shape[-1] != wanted:
            raise LatentSyncError(
                f"Whisper gives features {tokens.shape[-1]} wide, this model was trained on {wanted}: load the Whisper "
                f"that belongs to it (whisper_tiny.pt for the published ones)."
            )


def require_same_frames(noise: torch.Tensor, condition: torch.Tensor) -> None:
    """LatentSyncError unless a sampler's noise has the frames and the size of the faces (frames, c, h, w)."""
    if condition.shape[0] != noise.shape[0] or condition.shape[2:] != noise.shape[2:]:
        raise LatentSyncError(
            f"The latent has the shape {tuple(noise.shape)}, the conditioning is for "
            f"{(condition.shape[0], 4, *condition.shape[2:])}: use the latent of the same Conditioning node."
        )


def network_patcher(model_class: type[NativeModel], checkpoint: Checkpoint, dtype: torch.dtype | None):
    """A ModelPatcher over a checkpoint. dtype: of the stored weights, None = the host's choice."""
    management = comfy.model_management
    config = NativeConfig({"latentsync_config": checkpoint.config})
    parameters = comfy.utils.calculate_parameters(checkpoint.state_dict)
    device = management.get_torch_device()
    supported = NativeConfig.supported_inference_dtypes
    dtype = dtype or management.unet_dtype(model_params=parameters, supported_dtypes=supported)
    if KNOWS in checkpoint.metadata:  # of the embedded models alone, which see through the embedded VAE
        config.latent_format = EmbeddedLatents()
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, supported))
    offload = management.unet_offload_device()
    model = model_class(config, checkpoint.metadata, device=offload)
    model.load_model_weights(dict(checkpoint.state_dict), "")
    return ModelPatcher(model.to(offload), load_device=device, offload_device=offload)


def require_ours(model: Any) -> NativeModel:
    """The generator's model behind a MODEL; LatentSyncError for another kind."""
    if not isinstance(model.model, NativeModel):
        raise LatentSyncError(
            f"The model is a {type(model.model).__name__}; connect the MODEL of LatentSync Load Model or LatentSync Load "
            f"MuseTalk Model."
        )
    return model.model
