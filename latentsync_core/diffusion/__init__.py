"""Schedule, guidance, windows and sampling."""

from .batching import WindowBatch
from .guidance import Guidance, as_guidance
from .one_step import redraw_latents, redraw_windows
from .prediction import Conditioning, NoisePredictor, TensorConditioning
from .sample import NonFiniteLatentsError, sample_clip, sample_windows, shared_noise
from .sampler_settings import SamplerSettings
from .schedule import make_schedule, reference_sigmas
from .windows import (
    Window,
    WindowGroup,
    check_window,
    disjoint_windows,
    fusion_weights,
    plan_windows,
    window_chains,
    window_groups,
)

__all__ = [
    "Conditioning",
    "Guidance",
    "NoisePredictor",
    "NonFiniteLatentsError",
    "SamplerSettings",
    "TensorConditioning",
    "Window",
    "WindowBatch",
    "WindowGroup",
    "as_guidance",
    "check_window",
    "disjoint_windows",
    "fusion_weights",
    "make_schedule",
    "plan_windows",
    "redraw_latents",
    "redraw_windows",
    "reference_sigmas",
    "sample_clip",
    "sample_windows",
    "shared_noise",
    "window_chains",
    "window_groups",
]
