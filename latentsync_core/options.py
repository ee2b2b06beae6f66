"""What a user may choose: words, numbers with their limits, and the groups of options that belong together.

The library, the command line and the nodes offer the same. Importing this loads neither torch nor numpy, so that a host
lists its nodes at once and a mistake is answered at once. Whatever is refused raises LatentSyncError.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import LatentSyncError

if TYPE_CHECKING:
    from torch import Tensor

GENERATORS = ("latentsync", "musetalk", "draft")
UNET_GENERATORS = ("latentsync", "musetalk")  # each with a kind of features of its own
MUSETALK_RELEASES = ("1.5", "1.0")
SOLVERS = ("ddim", "dpm++2m", "unipc", "euler", "ddim-trailing", "lcm")
POSITIONS = ("auto", "on", "off")
JOINS = ("overlap", "reference")
ALIGNMENTS = ("smooth", "reference")
EVALUATION_CROPS = ("mesh", "s3fd")
BLENDS = ("mouth", "reference")
MASKS = ("fixed", "mesh")  # or a picture
COLOR_MATCHES = ("ring", "off")
LENGTHS = ("audio", "video", "shortest")
EXTENSIONS = ("pingpong", "loop", "hold", "none")
DROPS = ("audio", "reference", "jointly", "separately")  # what training drops for guidance
SILENCES = ("off", "rest", "keep")
FACE_WORDS = ("auto", "largest", "left", "right")
MISSING = ("pass", "hold", "stop")
SOUNDS = ("voice", "mix")
CODECS = ("h264", "hevc", "ffv1")
AUDIO_CODECS = ("auto", "aac", "alac", "flac", "pcm")
ENCODER_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
COMPILING = ("off", "on", "graphs")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

DEFAULT_STEPS = 20  # the reference's, as are guidance and seed
MAX_STEPS = 500  # with more, "leading" spacing starts at half the noise, and near 1000 runs off the table
DEFAULT_GUIDANCE = 1.5
DEFAULT_REUSE = 1  # every how many steps the whole UNet runs
PUBLISHED_REUSE = 3  # the published scripts'
DEFAULT_BATCH = "auto"  # windows through the network at once
MAX_BATCH = 64
DEFAULT_SEED = 1247
WINDOW_FRAMES = 16  # as trained
PUBLISHED_WIDTH = 320  # channels of the published UNet's first block
MAX_OFFSET_MS = 1000  # by which the mouth can be moved against the sound
DEFAULT_OVERLAP = 0  # frames that windows share; the reference's
DEFAULT_FEATHER = 1.5  # percent of the crop's side
DEFAULT_YAW, DEFAULT_PITCH = 45.0, 40.0  # degrees at which the effect begins to fade
DEFAULT_EASE = 4  # frames over which it comes and goes
DEFAULT_CRF = 16  # looks like the source
DEFAULT_FACE = "auto"
DEFAULT_THRESHOLD = 0.5  # detector score, a probability; MediaPipe's graphs use 0.5 and 0.6
DEFAULT_MAX_GAP = 10  # frames without a face that are bridged: 0.4 s at 25 frames per second
DEFAULT_COLOR_MATCH = "ring"
MAX_WINDOW_FRAMES = 24  # length of the temporal position table
RESOLUTION_STEP = 64  # pixels; the UNet halves the latents three times
MAX_SEED = 2**64 - 1  # as torch and the host take them
MAX_CRF = 51
MOST_BBOX_SHIFT = 30  # pixels; -9 to 9 is usual
MOST_PERCENT = 20  # of the crop's side, for feather and growth


@dataclass(frozen=True)
class Guidance:
    """Strength of the audio condition, and the part of the schedule it applies to.

    scale: eps = eps_null + scale * (eps_audio - eps_null); at most 1 means the conditional prediction alone, one pass
    instead of two. Useful 1.0 to 3.0.
    rescale: 0..1, brings the standard deviation back to the conditional prediction's (arXiv 2305.08891 section 3.4).
    start, end: the part of the schedule that is guided, 0 = first step, 1 = after the last (arXiv 2404.07724); the
    other steps take one pass.
    step_scales: one scale per step in place of `scale`.
    """

    scale: float = DEFAULT_GUIDANCE
    rescale: float = 0.0
    start: float = 0.0
    end: float = 1.0
    step_scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        scales = self.step_scales or (self.scale,)
        if not all(map(math.isfinite, scales)):
            raise LatentSyncError(
                f"The guidance scale is {', '.join(map(str, scales))}; it must be finite, 1 to 3 is usual."
            )
        if not 0 <= self.rescale <= 1:
            raise LatentSyncError(f"Guidance rescale is {self.rescale}; it must lie between 0 and 1.")
        if not 0 <= self.start <= self.end <= 1:
            raise LatentSyncError(
                f"The guided interval is {self.start} to {self.end}; it must satisfy 0 <= start <= end <= 1."
            )

    def scale_at(self, step: int, steps: int) -> float:
        """The scale of one step out of `steps`; 1 outside the interval."""
        if self.step_scales is not None and len(self.step_scales) != steps:
            raise LatentSyncError(f"{len(self.step_scales)} guidance scales were given for {steps} steps.")
        if not self.start <= step / steps < self.end:
            return 1.0
        return self.scale if self.step_scales is None else self.step_scales[step]

    def combine(self, null: "Tensor", voice: "Tensor", scale: float) -> "Tensor":
        """Guide one step: `null` and `voice` are the unconditional and conditional prediction, (b, 4, f, h, w)."""
        guided = null + scale * (voice - null)
        if self.rescale == 0:
            return guided
        axes = tuple(range(1, voice.dim()))
        rescaled = guided * (voice.std(axes, keepdim=True) / guided.std(axes, keepdim=True))
        return self.rescale * rescaled + (1 - self.rescale) * guided


@dataclass(frozen=True)
class FadeLimits:
    """Where the effect fades out.

    yaw, pitch: degrees of head turn to the side and up or down at which it begins to fade; it is gone 15 degrees on.
    LatentSync was trained on faces seen from the front. ease: frames over which it comes and goes where the face
    appears or is lost within a shot; a cut needs no easing.
    """

    yaw: float = DEFAULT_YAW
    pitch: float = DEFAULT_PITCH
    ease: int = DEFAULT_EASE

    def __post_init__(self) -> None:
        if not (0 <= self.yaw <= 180 and 0 <= self.pitch <= 180):
            raise LatentSyncError(
                f"The effect is to fade from a yaw of {self.yaw} and a pitch of {self.pitch} degrees on; "
                "0 to 180 is possible."
            )
        if self.ease < 0:
            raise LatentSyncError(f"The effect is to ease over {self.ease} frames; 0 or more are needed.")


@dataclass(frozen=True)
class Seam:
    """How the mouth blend joins the generated mouth to the frame; lengths in percent of the crop's side.

    mask: "fixed", the part that the model redraws (as published); "mesh", of that face the part below the nose, by the
    mesh of every frame; or a grey picture as large as the frames: as "fixed", and black there keeps the frame's pixels
    bit for bit. feather: standard deviation of the soft edge. grow: how far the shape is widened, negative to shrink.
    color_match: "ring" takes on the colours around the redrawn part, "off" leaves them as generated.
    """

    mask: str | Path = "fixed"
    feather: float = DEFAULT_FEATHER
    grow: float = 0.0
    color_match: str = DEFAULT_COLOR_MATCH

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= MOST_PERCENT:
            raise LatentSyncError(
                f"The feather is {self.feather} percent of the crop; 0 to {MOST_PERCENT} is possible."
            )
        if not -MOST_PERCENT <= self.grow <= MOST_PERCENT:
            raise LatentSyncError(
                f"The mask is to grow by {self.grow} percent of the crop; "
                f"-{MOST_PERCENT} to {MOST_PERCENT} is possible."
            )
        if self.color_match not in COLOR_MATCHES:
            raise LatentSyncError(f"Color match {self.color_match!r} is unknown; choose {' or '.join(COLOR_MATCHES)}.")

    @property
    def limit_file(self) -> Path | None:
        """The user's picture, None for the shapes that need none."""
        return None if self.mask in MASKS else Path(self.mask)


@dataclass(frozen=True)
class EncodeSettings:
    """How to encode. codec: "h264", "hevc" or "ffv1" (always lossless, .mkv only). crf: 0..51, lower is better.

    lossless: keep the source's own pixel format and every sample. preset: x264's and x265's effort. audio_codec: "auto"
    (AAC, where it has the voice's rate; lossless with lossless video), "aac", "alac", "flac" or "pcm".
    Raises LatentSyncError for a value that is none of these.
    """

    codec: str = CODECS[0]
    crf: int = DEFAULT_CRF
    lossless: bool = False
    preset: str = "medium"
    audio_codec: str = "auto"

    def __post_init__(self):
        for name, value, known in (
            ("codec", self.codec, CODECS),
            ("preset", self.preset, ENCODER_PRESETS),
            ("audio codec", self.audio_codec, AUDIO_CODECS),
        ):
            if value not in known:
                raise LatentSyncError(f"there is no {name} {value!r} here; choose one of {', '.join(known)}")
        if not 0 <= self.crf <= MAX_CRF:
            raise LatentSyncError(f"a CRF of {self.crf} is not possible; choose 0 (best) to {MAX_CRF}")

    @property
    def keeps_every_sample(self) -> bool:
        """Whether the pictures come back bit for bit."""
        return self.lossless or self.codec == "ffv1"


def check_resolution(resolution: int) -> None:
    """A face crop's side in pixels."""
    if resolution < RESOLUTION_STEP or resolution % RESOLUTION_STEP:
        raise LatentSyncError(
            f"The working resolution is {resolution} pixels; expected a positive multiple of {RESOLUTION_STEP}: "
            "use 256 for LatentSync 1.5 weights and 512 for 1.6."
        )


def check_steps(solver: str, steps: int) -> None:
    """A solver, and how many steps it takes."""
    if solver not in SOLVERS:
        raise LatentSyncError(f"Solver {solver!r} is unknown; choose one of {', '.join(SOLVERS)}.")
    if not 1 <= steps <= MAX_STEPS:
        raise LatentSyncError(f"{steps} steps were asked for; between 1 and {MAX_STEPS} are possible, 20 is usual.")


def check_reuse(reuse: int) -> None:
    """Every how many steps the whole UNet runs."""
    if not 1 <= reuse <= MAX_STEPS:
        raise LatentSyncError(
            f"The whole UNet is to run every {reuse} steps; 1 (at every step) to {MAX_STEPS} is possible, "
            f"the published scripts use {PUBLISHED_REUSE}."
        )


def check_batch(batch: int | str) -> None:
    """How many windows go through the network at once."""
    if batch != DEFAULT_BATCH and not (isinstance(batch, int) and 1 <= batch <= MAX_BATCH):
        raise LatentSyncError(
            f"{batch!r} windows are to be denoised at once; choose 1 to {MAX_BATCH}, or {DEFAULT_BATCH} for as many as "
            "the memory holds."
        )


def check_bbox_shift(shift: int) -> None:
    """Pixels by which MuseTalk's crop may be moved against the nose."""
    if not -MOST_BBOX_SHIFT <= shift <= MOST_BBOX_SHIFT:
        raise LatentSyncError(
            f"A bbox shift of {shift} pixels was asked for; {-MOST_BBOX_SHIFT} to {MOST_BBOX_SHIFT} are possible, "
            f"-9 to 9 is usual."
        )


def check_window(window: int, overlap: int = 0) -> None:
    """Numbers of frames the UNet can take and windows can share."""
    if not 1 <= window <= MAX_WINDOW_FRAMES:
        raise LatentSyncError(
            f"A window of {window} frames was asked for; 1 to {MAX_WINDOW_FRAMES} are possible, "
            f"{WINDOW_FRAMES} is what the model was trained on."
        )
    if not 0 <= overlap <= window // 2:
        raise LatentSyncError(
            f"An overlap of {overlap} frames was asked for; windows of {window} can share 0 to {window // 2}."
        )


def check_offset(offset_ms: float) -> None:
    """Milliseconds by which the mouth is moved."""
    if not abs(offset_ms) <= MAX_OFFSET_MS:
        raise LatentSyncError(
            f"The mouth is to move {offset_ms:g} ms later than the sound; "
            f"{-MAX_OFFSET_MS} to {MAX_OFFSET_MS} is possible."
        )


def check_silence(mode: str, blend: str) -> None:
    """A way to treat silence, and whether the blend can show it."""
    if mode not in SILENCES:
        raise LatentSyncError(f"Silence {mode!r} is unknown; choose one of {', '.join(SILENCES)}.")
    if mode == "keep" and blend != "mouth":
        raise LatentSyncError(
            f"Silence 'keep' fades to the filmed mouth, which the {blend} blend cannot; "
            "choose the mouth blend, or silence 'rest'."
        )
