"""Schedule, guidance, windows and sampling."""

from .guidance import Guidance, as_guidance
from .sample import Conditioning, NoisePredictor, NonFiniteLatentsError, sample_clip, sample_windows, shared_noise
from .schedule import make_schedule
from .windows import Window, check_window, plan_windows

__all__ = [
    "Conditioning",
    "Guidance",
    "NoisePredictor",
    "NonFiniteLatentsError",
    "Window",
    "as_guidance",
    "check_window",
    "make_schedule",
    "plan_windows",
    "sample_clip",
    "sample_windows",
    "shared_noise",
]
