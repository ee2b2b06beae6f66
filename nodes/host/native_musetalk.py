"""MuseTalk's UNet as a native MODEL: one pass at timestep 0, whatever noise and noise level a sampler hands over.

A sampler's prediction of the clean latents is that pass, so one step of any stock sampler gives the redrawn faces, and
more steps give the same once more.
"""

import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.sample
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
from .previews import WindowPreviews
from .progress import StageProgress

ONE_STEP = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}  # of any stock sampler


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
        windows = kwargs["windows"]
        progress = StageProgress.begin("sample", window_text)
        previews = WindowPreviews.of(self, x.device, progress, [start for start, _ in windows])
        for done, (start, stop) in enumerate(windows):
            progress.show(done, len(windows))
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
            if previews:
                previews.on_clean(start, output.transpose(0, 2).float())  # (f, 4, 1, h, w) -> (1, 4, f, h, w)
        progress.show(len(windows), len(windows))
        return self.model_sampling.calculate_denoised(t, redrawn, x)

    def memory_required(self, input_shape, cond_shapes=None):
        """Bytes for one window: the clip's length does not count."""
        return super().memory_required([min(input_shape[0], WINDOW_FRAMES), *input_shape[1:]], {})


def native_musetalk(checkpoint: Checkpoint, dtype: torch.dtype | None, box: MuseTalkBox):
    """A ModelPatcher over a MuseTalk checkpoint. dtype: of the stored weights, None = the host's choice."""
    patcher = network_patcher(MuseTalkModel, checkpoint, dtype)
    patcher.model.box = box
    return patcher


def redraw_natively(patcher, positive, negative, latent: torch.Tensor) -> torch.Tensor:
    """Run a MuseTalk MODEL as a KSampler does with one step and no guidance: (frames, 4, h, w) unscaled samples.

    latent: (frames, 4, h, w), which says how many frames and how large.
    """
    return comfy.sample.sample(
        patcher,
        torch.zeros_like(latent),
        **ONE_STEP,
        positive=positive,
        negative=negative,
        latent_image=latent,
        disable_pbar=True,
        seed=0,
    )


def window_text(done: int, total: int) -> str:
    """How far the pass is. done, total: windows."""
    return f"Redrawing window {min(done + 1, total)} of {total}"


def box_of(model) -> MuseTalkBox | None:
    """Where the model behind a MODEL wants its faces cut out; None for the alignment that LatentSync takes."""
    return getattr(require_ours(model), "box", None)
