"""Everything a run can be told, with the defaults of the reference or of what is better, refused where it cannot be.

Importing this loads neither torch nor numpy, so that a mistake is answered at once.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from .disk_cache import DiskCache
from .errors import LatentSyncError
from .options import (
    DEFAULT_BATCH,
    DEFAULT_FACE,
    DEFAULT_OVERLAP,
    DEFAULT_REUSE,
    DEFAULT_SEED,
    DEFAULT_STEPS,
    MAX_SEED,
    MISSING,
    SOUNDS,
    WINDOW_FRAMES,
    EncodeSettings,
    FadeLimits,
    Guidance,
    Seam,
    check_batch,
    check_bbox_shift,
    check_offset,
    check_resolution,
    check_reuse,
    check_silence,
    check_steps,
    check_window,
)


@dataclass(frozen=True)
class Settings:
    """How to lip-sync one clip.

    resolution: of the face crop in pixels, a multiple of 64; None = as the checkpoint was trained.
    reuse: every how many steps the whole UNet runs; the steps between reuse its deep features. reuse_null: the same for
    the unconditional prediction; None = as `reuse`.
    batch: how many windows go through the network at once, a number or "auto": as many as the memory of a CUDA device
    holds, one elsewhere. The result is the same but for rounding.
    window, overlap: frames denoised together, and those that neighbouring windows share and fuse.
    position: "auto" (as the checkpoint was trained), "on" or "off". joins: "overlap" or "reference".
    alignment: "smooth" or "reference". bbox_shift: of MuseTalk, pixels by which the middle of its crop lies below the
    bridge of the nose, -30 to 30; above 0 the mouth opens more.
    blend: "mouth" (eyes and nose stay the frame's own) or "reference".
    seam: shape, edge and colours of what the mouth blend pastes, and where it may.
    fade: where the effect fades out, for the mouth blend.
    silence: while nobody speaks, "off" generates as ever, "rest" from features of true silence, "keep" fades to the
    filmed mouth. offset: milliseconds the mouth moves later than the sound; below 0, earlier.
    audio_track: of the voice's file, a number from 1 or a language; None = the file's default track.
    length: "audio", "video" or "shortest". extend: "pingpong", "loop", "hold" or "none".
    rate: frames per second of the output; None = the source's.
    face: who speaks: "auto" (the largest and surest face of each shot), "largest", "left", "right", a number, a point
    "x,y", a box "x0,y0,x1,y1", or the path of a mask picture. missing: "pass", "hold" or "stop".
    sound: of the result: "voice", or "mix" of the voice and the sound the video already has.
    cache: what is kept on disk for other runs; None = nothing. overwrite: replace an existing output.
    resume: go on with what an earlier run, that was interrupted, has finished of the same output.
    Raises LatentSyncError for what no video, voice and model could be run with.
    """

    resolution: int | None = None
    steps: int = DEFAULT_STEPS
    guidance: Guidance = field(default_factory=Guidance)
    seed: int = DEFAULT_SEED
    solver: str = "ddim"
    reuse: int = DEFAULT_REUSE
    reuse_null: int | None = None
    batch: int | str = DEFAULT_BATCH
    window: int = WINDOW_FRAMES
    overlap: int = DEFAULT_OVERLAP
    position: str = "auto"
    joins: str = "overlap"
    alignment: str = "smooth"
    bbox_shift: int = 0
    blend: str = "mouth"
    seam: Seam = field(default_factory=Seam)
    fade: FadeLimits = field(default_factory=FadeLimits)
    silence: str = "off"
    offset: float = 0.0
    audio_track: str | None = None
    length: str = "audio"
    extend: str = "pingpong"
    rate: Fraction | None = None
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    face: str = DEFAULT_FACE
    missing: str = "pass"
    sound: str = "voice"
    cache: DiskCache | None = None
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.resolution is not None:
            check_resolution(self.resolution)
        check_window(self.window, self.overlap)
        check_steps(self.solver, self.steps)
        for interval in (self.reuse, self.null_interval):
            check_reuse(interval)
        check_batch(self.batch)
        check_bbox_shift(self.bbox_shift)
        if not 0 <= self.seed <= MAX_SEED:
            raise LatentSyncError(f"The seed is {self.seed}; it must lie between 0 and {MAX_SEED}.")
        self.guidance.scale_at(0, self.steps)
        if self.sound not in SOUNDS:
            raise LatentSyncError(f"The sound {self.sound!r} is unknown; choose {', '.join(SOUNDS)}.")
        if self.missing not in MISSING:
            raise LatentSyncError(f"The policy {self.missing!r} is unknown; choose {', '.join(MISSING)}.")
        check_silence(self.silence, self.blend)
        check_offset(self.offset)

    @property
    def null_interval(self) -> int:
        """Every how many steps the whole UNet runs for the unconditional prediction."""
        return self.reuse if self.reuse_null is None else self.reuse_null

    @property
    def antialias(self) -> bool:
        """Whether large faces are prefiltered before they are shrunk; the reference does not."""
        return self.alignment != "reference"
