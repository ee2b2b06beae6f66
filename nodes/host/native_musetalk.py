"""MuseTalk's UNet as a native MODEL: one pass at timestep 0, whatever noise and noise level a sampler hands over.

A sampler's prediction of the clean latents is that pass, so one step of any stock sampler gives the redrawn faces, and
more steps give the same once more.
"""

import comfy.conds
import comfy.model_base
import comfy.model_management
import torch

from ...latentsync_core.audio.positions import encode_positions
from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.models.unet.checkpoint import Checkpoint
from ...latentsync_core.options import WINDOW_FRAMES
from ..types import MuseTalkBox
from .memory import check_cancelled
from .native_model import EMBEDDED_VAE, require_fitting_vae
from .native_network import (
    CONDITION,
    POSITIONS,
    VOICELESS,
    WINDOWS,
    NativeConfig,
    NativeModel,
    network_patcher,
    require_ours,
    require_same_frames,
)


class MuseTalkModel(NativeModel):
    """The clean latents of a batch of frames, each redrawn by itself. box: where it wants its faces cut out."""

    generator = "musetalk"
    box = MuseTalkBox()

    def __init__(self, config: NativeConfig, metadata: dict, device=None):
        # The type whose samplers take the network's output for the clean latents and scale nothing.
        super().__init__(config, comfy.model_base.ModelType.IMG_TO_IMG, metadata, device=device)

    def extra_conds(self, **kwargs):
        """The faces and the voice of every frame; they stay on the CPU until their window comes."""
        self.require_inputs(kwargs)
        tokens, condition = kwargs["cross_attn"], kwargs[CONDITION]
        self.require_voice(tokens)
        require_fitting_vae(self.diffusion_model, kwargs.get(EMBEDDED_VAE))
        require_same_frames(kwargs["noise"], condition)
        if kwargs.get(POSITIONS) == "auto" and self.conditioning().positions:
            tokens = encode_positions(tokens, "on")
        return {
            "c_concat": comfy.conds.CONDRegular(condition),
            "c_crossattn": comfy.conds.CONDRegular(tokens),
            "windows": comfy.conds.CONDConstant(kwargs[WINDOWS]),
            "voiceless": comfy.conds.CONDConstant(kwargs.get(VOICELESS, False)),
        }

    def _apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        """x: (frames, 4, h, w), of which nothing but the place is used -> the redrawn latents, (frames, 4, h, w)."""
        if kwargs["voiceless"]:  # asked for where a sampler guides
            raise LatentSyncError("MuseTalk takes no guidance; set the sampler's cfg to 1.")
        redrawn, dtype = torch.zeros_like(x, dtype=torch.float32), self.manual_cast_dtype or self.get_dtype()
        for start, stop in kwargs["windows"]:
            check_cancelled()
            faces, tokens = (
                comfy.model_management.cast_to_device(part[start:stop], x.device, dtype)
                for part in (c_concat, c_crossattn)
            )
            output = self.diffusion_model(
                faces[:, :, None],  # (f, 8, 1, h, w): every frame is a window of its own
                torch.zeros(1, device=x.device),
                context=tokens,
                transformer_options=transformer_options,
            )
            redrawn[start:stop] = output[:, :, 0].float()
        return self.model_sampling.calculate_denoised(t, redrawn, x)

    def memory_required(self, input_shape, cond_shapes=None):
        """Bytes for one window: the clip's length does not count."""
        return super().memory_required([min(input_shape[0], WINDOW_FRAMES), *input_shape[1:]], {})


def native_musetalk(checkpoint: Checkpoint, dtype: torch.dtype | None, box: MuseTalkBox):
    """A ModelPatcher over a MuseTalk checkpoint. dtype: of the stored weights, None = the host's choice."""
    patcher = network_patcher(MuseTalkModel, checkpoint, dtype)
    patcher.model.box = box
    return patcher


def box_of(model) -> MuseTalkBox | None:
    """Where the model behind a MODEL wants its faces cut out; None for the alignment that LatentSync takes."""
    return getattr(require_ours(model), "box", None)
