"""LatentSync's UNet as a native MODEL, so that stock samplers, LoRA, weight streaming and casting work on it.

Frames are the batch outside and windows are inside: a sampler sees (frames, 4, h, w) latents of any number, the network
sees windows of at most 24 that never cross a cut or a gap; where they overlap, their predictions are fused.
"""

from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.patcher_extension
import torch
from einops import rearrange

from ...latentsync_core.audio.positions import encode_positions
from ...latentsync_core.diffusion.conditioning import null_like
from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.generators.latentsync.known_face import check_known
from ...latentsync_core.models.embedded import KNOWS
from ...latentsync_core.models.loading import DTYPES
from ...latentsync_core.models.unet.checkpoint import Checkpoint
from ...latentsync_core.models.unet.model import UNet3DConditionModel
from ...latentsync_core.options import DEFAULT_BATCH, MAX_WINDOW_FRAMES, PUBLISHED_WIDTH, WINDOW_FRAMES
from .crop_size import warn_of_crop_size
from .feature_reuse import RUN, intervals_of, make_room
from .memory import OUT_OF_MEMORY, check_cancelled, windows_at_once
from .native_network import (
    CONDITION,
    POSITIONS,
    VOICELESS,
    WINDOWS,
    NativeConfig,
    NativeModel,
    network_patcher,
    require_same_frames,
)
from .previews import WindowPreviews
from .progress import StageProgress
from .vae import LATENT_SCALE

if TYPE_CHECKING:
    from ...latentsync_core.diffusion import SamplerSettings

WRAPPER_KEY = "latentsync"
EMBEDDED_VAE = "latentsync_embedded_vae"  # whether the embedded VAE made the faces
FACE_ERROR = "latentsync_face_error"  # how badly the embedded VAE redraws the face, where it was measured
ANY_FACE = "any_face"  # in the embedded model's metadata: it is to paint faces it does not know as well


@lru_cache(maxsize=4)
def window_weights(windows: tuple[tuple[int, int], ...]) -> tuple[torch.Tensor, ...]:
    """What every window, (start, stop), has to say about its frames (f,): all, but where it overlaps another."""
    from ...latentsync_core.diffusion import Window, fusion_weights, window_chains

    chains = window_chains([Window(*span) for span in windows])
    return tuple(weight for chain in chains for weight in fusion_weights(chain))


class LatentSyncModel(NativeModel):
    """Epsilon prediction over a batch of frames, run window by window."""

    generator = "latentsync"

    def __init__(self, config: NativeConfig, metadata: dict, device=None):
        super().__init__(config, comfy.model_base.ModelType.EPS, metadata, device=device)

    def side(self, tokens: torch.Tensor, extra: dict) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One side of the guidance as the checkpoint was trained: condition (frames, 9, h, w), tokens (frames, n, d).

        The tokens are None where they are all zeros, as without a voice they are unless a null was learned.
        """
        trained, condition = self.conditioning(), extra[CONDITION]
        if extra.get(VOICELESS):
            if (
                not trained.null_has_reference
            ):  # else it stays the same tensor, by which the sampler sees that both agree
                condition = trained.null_condition(condition[:, :, None])[:, :, 0]
            return condition, trained.learned_null(tokens)
        undecided = extra.get(POSITIONS) == "auto"
        return condition, encode_positions(tokens, "on") if undecided and trained.positions else tokens

    def extra_conds(self, **kwargs):
        """The per-frame conditioning of one side of the guidance; it stays on the CPU until its window comes."""
        self.require_inputs(kwargs)
        self.require_voice(kwargs["cross_attn"])
        require_fitting_vae(self.diffusion_model, kwargs.get(EMBEDDED_VAE))
        require_known_face(self.diffusion_model, kwargs.get(FACE_ERROR))
        if not kwargs.get(VOICELESS):
            warn_of_crop_size(kwargs[CONDITION], self.crop_size)
        (condition, tokens), noise = self.side(kwargs["cross_attn"], kwargs), kwargs["noise"]
        require_same_frames(noise, condition)
        return {
            "c_concat": comfy.conds.CONDRegular(condition),
            "c_crossattn": comfy.conds.CONDRegular(null_like(kwargs["cross_attn"], None) if tokens is None else tokens),
            "windows": comfy.conds.CONDConstant(kwargs[WINDOWS]),
        }

    def _apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        """x: (sides * frames, 4, h, w), sides being the guided and unguided halves when the host batches them."""
        windows, options = kwargs["windows"], transformer_options or {}
        reuse = options.get(RUN)
        frames = windows[-1][1]
        sides = x.shape[0] // frames
        scaled = self.model_sampling.calculate_input(t, x)
        timestep = self.model_sampling.timestep(t).float()
        prediction = torch.zeros_like(x, dtype=torch.float32)
        for (start, stop), weight in zip(windows, window_weights(windows), strict=True):
            check_cancelled()
            rows = (torch.arange(sides)[:, None] * frames + torch.arange(start, stop)).flatten()  # (sides * f,)
            here = rows.to(x.device)
            inputs = torch.cat([scaled[here], c_concat[rows].to(scaled)], dim=1)  # (sides * f, 13, h, w)
            side_steps = timestep[here].reshape(sides, -1)[:, 0]  # (sides,)
            kept = reuse.features(options, start) if reuse else None
            noise = self._predict(inputs, side_steps, c_crossattn[rows], options, kept)
            if kept:
                make_room(kept, self.memory_required(x.shape))
            prediction[here] += noise * weight.repeat(sides)[:, None, None, None].to(noise)
        return self.model_sampling.calculate_denoised(t, prediction, x)

    def _predict(self, inputs, timestep, tokens, transformer_options, kept=None) -> torch.Tensor:
        """One window: (sides * f, 13, h, w) -> (sides * f, 4, h, w) float32; one side at a time after a memory error."""
        dtype, sides = self.manual_cast_dtype or self.get_dtype(), len(timestep)
        sample = rearrange(inputs, "(b f) c h w -> b c f h w", b=sides).to(dtype)
        tokens = comfy.model_management.cast_to_device(tokens, inputs.device, dtype)  # (sides * f, n, d)

        def run(side: slice, rows: slice) -> torch.Tensor:
            return self.diffusion_model(
                sample[side],
                timestep[side],
                context=tokens[rows],
                transformer_options=transformer_options,
                kept=kept[side] if kept else None,
            )

        try:
            noise = run(slice(None), slice(None))
        except OUT_OF_MEMORY:
            if sides == 1:
                raise
            step = len(tokens) // sides
            noise = torch.cat([run(slice(i, i + 1), slice(i * step, (i + 1) * step)) for i in range(sides)])
        return rearrange(noise.float(), "b c f h w -> (b f) c h w")

    def memory_required(self, input_shape, cond_shapes=None):
        """Bytes for one window on both sides of the guidance: the clip's length does not count."""
        rows = min(input_shape[0], 2 * MAX_WINDOW_FRAMES if input_shape[0] > WINDOW_FRAMES else 2 * WINDOW_FRAMES)
        return super().memory_required([rows, *input_shape[1:]], {})


def stored_dtype(name: str) -> torch.dtype | None:
    """What weights are stored in, by a name of `PRECISIONS` or of the host's own, as fp8_e4m3fn; None for "auto"."""
    if name.startswith("fp8_"):
        return getattr(torch, name.replace("fp8", "float8"))
    return DTYPES.get(name)


def native_model(checkpoint: Checkpoint, dtype: torch.dtype | None, noise: str):
    """A ModelPatcher over a LatentSync checkpoint.

    dtype: of the stored weights, None = the host's choice. noise: "shared" makes every sampler start all frames from
    one frame of noise, as the reference does; "independent" leaves the sampler's own.
    """
    patcher = network_patcher(LatentSyncModel, checkpoint, dtype)
    if noise == "shared":
        sampling = comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE
        patcher.add_wrapper_with_key(sampling, WRAPPER_KEY, share_noise)
    return patcher


def share_noise(executor, guider, sigmas, extra_args, callback, noise, *rest, **options):
    """Sampler wrapper: every frame starts from the first frame's noise (REFERENCE section 1, "Diffusion")."""
    return executor(guider, sigmas, extra_args, callback, noise[:1].expand_as(noise).contiguous(), *rest, **options)


class NativePredictor:
    """The native MODEL as the library's NoisePredictor, for the sampler with the reference's own numerics."""

    takes_batch = True

    def __init__(self, patcher):
        self.options = patcher.model_options["transformer_options"]
        self.network = patcher.model.diffusion_model
        self.dtype = patcher.model.manual_cast_dtype or patcher.model.get_dtype()

    def __call__(self, sample, timestep, audio_tokens, kept=None, *, batch=None):
        """As `UNet3DConditionModel.forward`: (b, 13, f, h, w), scalar, (b*f, n, d), b DeepFeatures -> (b, 4, f, h, w)."""
        return self.network(
            sample,
            timestep.to(sample.device).reshape(1),
            context=audio_tokens,
            transformer_options=self.options,
            kept=kept,
            batch=batch,
        )


def sample_natively(
    patcher, positive, negative, latent: torch.Tensor, settings: "SamplerSettings", seed: int
) -> torch.Tensor:
    """Run the library's sampler on a native MODEL: (frames, 4, h, w) unscaled LATENT samples on the CPU.

    latent: (frames, 4, h, w), which says how many frames and how large; what it holds is not looked at.
    settings: their device becomes the MODEL's, and "auto" as many windows at once as the host has memory for; where they
    reuse nothing, the MODEL's own intervals count.
    """
    from ...latentsync_core.diffusion import (
        NonFiniteLatentsError,
        TensorConditioning,
        Window,
        sample_clip,
        shared_noise,
        window_groups,
    )

    model = require_native(patcher)
    (voice, extra), (silence, unguided) = positive[0], negative[0]
    for side in (extra, unguided):
        model.require_inputs(side)
    model.require_voice(voice)
    require_fitting_vae(model.diffusion_model, extra.get(EMBEDDED_VAE))
    require_known_face(model.diffusion_model, extra.get(FACE_ERROR))
    warn_of_crop_size(extra[CONDITION], model.crop_size)
    (condition, voice), (null_condition, silence) = model.side(voice, extra), model.side(silence, unguided)
    sides = [condition] if null_condition is condition else [null_condition, condition]
    condition = rearrange(sides, "sides f c h w -> sides c f h w")
    frames, height, width = condition.shape[2:]
    if latent.shape != (frames, 4, height, width):
        raise LatentSyncError(
            f"The latent has the shape {tuple(latent.shape)}, the conditioning is for {(frames, 4, height, width)}: use "
            f"the latent of the same Conditioning node."
        )
    window_bytes = model.memory_required([2 * frames, 4, height, width])
    comfy.model_management.load_models_gpu([patcher], memory_required=window_bytes)
    settings = fitted_settings(settings, patcher, window_bytes)
    groups = window_groups([Window(*span) for span in extra[WINDOWS]])
    progress = StageProgress.begin("sample", partial(window_text, settings.steps))
    previews = WindowPreviews.of(model, patcher.load_device, progress, [group.reach.start for group in groups])
    try:
        latents = sample_clip(
            NativePredictor(patcher),
            shared_noise(width, torch.Generator().manual_seed(seed)),
            TensorConditioning(condition, voice, silence),
            groups,
            settings,
            frames=frames,
            on_progress=progress.show,
            check_cancelled=check_cancelled,
            on_clean=previews and previews.on_clean,
        )
    except NonFiniteLatentsError as error:
        raise LatentSyncError(
            f"Denoising gave NaN in {error}; set dtype to bf16 or fp32 in LatentSync Load Model."
        ) from error
    return rearrange(latents, "1 c f h w -> f c h w") / LATENT_SCALE


def fitted_settings(settings: "SamplerSettings", patcher, window_bytes: float) -> "SamplerSettings":
    """What a loaded MODEL, its device and the memory there make of settings, see `sample_natively`."""
    settings = replace(settings, device=patcher.load_device)
    if settings.batch == DEFAULT_BATCH:
        settings = replace(settings, batch=windows_at_once(patcher, window_bytes))
    return settings if settings.reuses else replace(settings, **asdict(intervals_of(patcher)))


def window_text(steps: int, done: int, total: int) -> str:
    """How far sampling is. done, total: steps of all windows."""
    return f"Denoising window {min(done // steps + 1, total // steps)} of {total // steps}"


def is_native(model) -> bool:
    """Whether a MODEL is ours."""
    return isinstance(model.model, LatentSyncModel)


def is_musetalk(model) -> bool:
    """Whether a MODEL is MuseTalk's, which has no steps to guide and to reuse."""
    return getattr(model.model, "generator", None) == "musetalk"


def require_native(model) -> LatentSyncModel:
    """The LatentSync model behind a MODEL; LatentSyncError for another kind."""
    if is_musetalk(model):
        raise LatentSyncError(
            "MuseTalk redraws every frame in one pass and has no steps between which to reuse features."
        )
    if not is_native(model):
        raise LatentSyncError(
            f"The model is a {type(model.model).__name__}; connect the MODEL of the LatentSync Load Model node."
        )
    return model.model


def require_fitting_vae(network: UNet3DConditionModel, embedded_vae: bool | None) -> None:
    """LatentSyncError where it is certain that another VAE made the faces than the network was trained on.

    embedded_vae: whether the embedded one made them, None = unknown. Latents do not tell one VAE from another.
    """
    if embedded_vae is False and KNOWS in network.metadata:
        raise LatentSyncError(
            "The embedded model sees through the embedded VAE only, and the faces were encoded by another: choose "
            '"embedded (one portrait)" in LatentSync Load VAE, or another checkpoint in LatentSync Load Model.'
        )
    if embedded_vae and network.config.block_out_channels[0] >= PUBLISHED_WIDTH:
        raise LatentSyncError(
            "The faces were encoded by the embedded VAE, which this model was not trained on: load the VAE that "
            "belongs to it (sd-vae-ft-mse for LatentSync 1.5 and 1.6)."
        )


def require_known_face(network: UNet3DConditionModel, error: float | None) -> None:
    """LatentSyncError where the embedded model, unless told to paint any, meets a face that is not its own.

    error: known_face.face_error, None = not measured.
    """
    if error is not None and KNOWS in network.metadata and ANY_FACE not in network.metadata:
        check_known(error, "The video", 'the checkpoint "embedded (any face)" in LatentSync Load Model')
