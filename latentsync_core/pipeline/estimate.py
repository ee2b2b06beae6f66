"""What a run will take, before it starts: every kind of work is done once on a few frames and timed."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..audio import SAMPLE_RATE_HZ, extract_features
from ..audio.tokens import STEPS_PER_FRAME
from ..diffusion import (
    NonFiniteLatentsError,
    SamplerSettings,
    TensorConditioning,
    Window,
    WindowGroup,
    plan_windows,
    sample_clip,
    window_groups,
)
from ..errors import LatentSyncError
from ..faces import (
    LATENT_STRIDE,
    alignment_matrices,
    parse_face,
    track_selected,
)
from ..faces.networks.facemesh import MESH_POINTS
from ..media import Frame, VideoReader
from ..media.write.parts import PartedVideo, PartWriter
from .composite import composite
from .encode import FaceLatents, encode_faces
from .peak_memory import peak_memory
from .plan import Plan, Run
from .report import Report
from .resume.run_folder import RunFolder
from .segments import SEGMENT_FRAMES, Segment

PROBE_FRAMES = 8  # of the source, on which all work is tried
WARM_SECONDS = 1.0  # what takes less is done twice, as the first time includes setting up
BLOCK_SECONDS = 30  # of voice, encoded at once
LATENT_CHANNELS = 12  # masked face, whole face, result: 4 each
FLOAT_BYTES = 4
VOICE_BYTES = 150_000  # per second of voice while it is heard: the waveform, its spectrogram, and a copy of either
ENCODER_FRAMES = 60  # pictures x264 and x265 look ahead and refer back to
ENCODER_SHARE = 2  # what a picture takes there, by the picture's own bytes
MIB = 2**20


@dataclass(frozen=True)
class Work:
    """How much there is to do: seconds of voice, source frames to track, faces to encode, windows and output frames."""

    voice: float
    read: int
    faces: int
    windows: int
    frames: int


@dataclass(frozen=True)
class Costs:
    """Seconds that one piece of each kind of work took: 30 s of voice, tracking a frame, encoding a face, denoising a
    window through all steps, writing a frame. vram: bytes on the GPU at most, None without one."""

    voice: float
    faces: float
    encode: float
    sample: float
    write: float
    vram: int | None


@dataclass(frozen=True)
class Forecast:
    """Seconds by stage, and bytes of memory at the peak; vram is None where there is no GPU, ram where nobody tells."""

    work: Work
    stages: dict[str, float]
    ram: int | None
    vram: int | None

    @property
    def seconds(self) -> float:
        """The whole run."""
        return sum(self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {"seconds": round(self.seconds, 1), "stages": self.stages, "ram": self.ram, "vram": self.vram}


class Predictor:
    """Tells `on_forecast` what a run will take, and the report how true that was; does nothing without it."""

    def __init__(self, run: Run, folder: RunFolder, report: Report, on_forecast: Callable[[Forecast], None] | None):
        self._run, self._folder, self._report, self._tell = run, folder, report, on_forecast
        if on_forecast is not None:
            self._costs = measure_costs(run, folder)
            self._told("at_most", work_at_most(run))

    def rest(self, plan: Plan, segments: Sequence[Segment]) -> None:
        """Once the source has been read: what is left to do."""
        if self._tell is not None:
            left = [part for part in segments if not (self._folder.before and self._folder.part(part).exists())]
            self._told("after_tracking", work_left(plan, left))

    def compare(self) -> None:
        """Add to the report what it really took."""
        if self._tell is None:
            return
        device = self._run.models.device
        vram = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        stages = dict(self._report.stages)
        seconds = round(sum(stages.values()), 1)
        actual = {"seconds": seconds, "stages": stages, "ram": peak_memory(), "vram": vram}
        self._report.forecast["actual"] = actual

    def _told(self, when: str, work: Work) -> None:
        found = forecast(self._run, work, self._costs)
        self._report.forecast[when] = found.to_dict()
        self._tell(found)


def forecast(run: Run, work: Work, costs: Costs) -> Forecast:
    """Scale measured costs to the whole of the work."""
    stages = {
        "voice": math.ceil(work.voice / BLOCK_SECONDS) * costs.voice,
        "faces": work.read * costs.faces,
        "encode": work.faces * costs.encode,
        "sample": work.windows * costs.sample,
        "write": work.frames * costs.write,
    }
    return Forecast(
        work, {name: round(value, 1) for name, value in stages.items()}, peak_forecast(run, work), costs.vram
    )


def peak_forecast(run: Run, work: Work) -> int | None:
    """Bytes at the peak: what trying everything took, and what grows with the clip on top."""
    tried = peak_memory()
    if tried is None:
        return None
    side = run.resolution // LATENT_STRIDE
    track = work.read * MESH_POINTS * 3 * FLOAT_BYTES
    latents = min(work.frames, 2 * SEGMENT_FRAMES) * LATENT_CHANNELS * side * side * FLOAT_BYTES
    picture = run.info.width * run.info.height * 3 / 2 * math.ceil(run.info.bit_depth / 8)
    ahead = (min(ENCODER_FRAMES, work.frames) - PROBE_FRAMES) * ENCODER_SHARE * picture
    return int(tried + max(work.voice * VOICE_BYTES, track + latents + max(ahead, 0)))


def work_at_most(run: Run) -> Work:
    """What the headers say there is to do, if every frame shows a face."""
    info, voice = run.info, run.voice.seconds or 0.0
    stated = info.frames or round((info.duration or voice) * info.fps)
    heard = round(voice * info.fps)
    seconds = {"audio": voice, "video": stated / info.fps}.get(run.settings.length, min(voice, stated / info.fps))
    frames = max(1, round(seconds * (run.settings.rate or info.fps)))
    read = stated if run.settings.length == "video" else min(stated, heard)
    windows = window_groups(plan_windows([True] * frames, (), run.settings.window, run.settings.overlap))
    return Work(voice, read, min(read, frames), count_windows(windows), frames)


def work_left(plan: Plan, segments: Sequence[Segment]) -> Work:
    """What `segments` of a clip, those not finished yet, still need; the voice and the source have been read."""
    shown = {
        plan.timeline.source[f] for part in segments for span in part.windows for f in range(span.start, span.stop)
    }
    windows = count_windows(group for part in segments for group in part.groups)
    return Work(0.0, 0, len(shown), windows, sum(map(len, segments)))


def count_windows(groups: Iterable[WindowGroup]) -> int:
    """How many windows are denoised for some groups."""
    return sum(len(group.windows) for group in groups)


def measure_costs(run: Run, folder: RunFolder) -> Costs:
    """Do every kind of work once, with what it needs on a few frames of the source, and time it.

    Draws no random numbers but its own, and leaves nothing in `folder`.
    """
    if run.models.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.models.device)
    silence = torch.zeros(SAMPLE_RATE_HZ // 2)
    voice = timed(lambda: extract_features(silence, run.models.whisper))
    with VideoReader(run.video) as reader:
        frames, matrix, tracking = track_few(run, reader)
    matrices = np.repeat(matrix[None], len(frames), axis=0)
    encoded: list[FaceLatents] = []

    def encode() -> None:
        own = torch.Generator().manual_seed(0)
        places, codec = [list(range(len(frames)))], run.models.codec
        antialias = run.settings.antialias
        encoded.append(encode_faces(frames, places, matrices, run.resolution, codec, own, antialias=antialias))

    face = timed(encode) / len(frames)
    window = timed(lambda: denoise_few(run, encoded[-1]))
    frame = timed(lambda: write_few(run, folder, frames, encoded[-1], matrices)) / len(frames)
    vram = torch.cuda.max_memory_allocated(run.models.device) if run.models.device.type == "cuda" else None
    return Costs(voice, tracking, face, window * passes(run), frame, vram)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes; what is quick is done again, without its setting up."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        if seconds > WARM_SECONDS:
            break
    return seconds


def passes(run: Run) -> float:
    """How often a guided window's cost is paid: a step without guidance costs half."""
    settings = run.settings
    scales = [settings.guidance.scale_at(step, settings.steps) for step in range(settings.steps)]
    guided = max(scales) > 1
    return sum(1.0 if scale > 1 or not guided else 0.5 for scale in scales)


def track_few(run: Run, reader: VideoReader) -> tuple[list[Frame], np.ndarray, float]:
    """The first frames, the alignment (2, 3) of the face in them, and seconds per frame to decode and track."""
    frames: list[Frame] = []
    stamps: list[float] = []

    def watched():
        for frame in reader.frames(0, PROBE_FRAMES):
            stamps.append(time.perf_counter())
            frames.append(frame)
            yield frame.rgb()

    points = face_in_the_middle(run.info.width, run.info.height)
    with contextlib.suppress(LatentSyncError):  # no face this early, which the run itself will tell where it matters
        track = track_selected(watched(), parse_face(run.settings.face), device=run.models.device)
        points = track.points[track.present][:1]
    stamps.append(time.perf_counter())
    paces = np.diff(stamps)
    matrix = alignment_matrices(points, run.resolution, run.settings.alignment)[0]
    return frames, matrix, float(np.median(paces[1:] if len(paces) > 1 else paces))


def face_in_the_middle(width: int, height: int) -> np.ndarray:
    """Alignment points (1, 3, 2) of a face that fills a third of the picture."""
    unit = min(width, height) / 12
    return np.array([[[-unit, -unit], [unit, -unit], [0, unit]]]) + [width / 2, height / 2]


def denoise_few(run: Run, faces: FaceLatents) -> None:
    """One window through one step."""
    count, whisper = run.settings.window, run.models.whisper
    tokens = torch.zeros(count, STEPS_PER_FRAME * whisper.layers, whisper.width)
    condition = faces.condition([next(iter(faces.row_of))] * count)
    noise = torch.zeros(1, 4, 1, *condition.shape[-2:])
    guidance = max(run.settings.guidance.scale_at(step, run.settings.steps) for step in range(run.settings.steps))
    settings = SamplerSettings(steps=1, guidance=guidance, solver=run.settings.solver, device=run.models.device)
    groups, conditioning = window_groups([Window(0, count)]), TensorConditioning(condition, tokens)
    with contextlib.suppress(NonFiniteLatentsError):  # half precision that fails here is repaired in the run
        sample_clip(run.models.unet, noise, conditioning, groups, settings, frames=count)


def write_few(run: Run, folder: RunFolder, frames: list[Frame], faces: FaceLatents, matrices: np.ndarray) -> None:
    """Decode, paste and encode a few frames into a part that never gets its name."""
    settings, count = run.settings, len(frames)
    times = [index / run.info.fps for index in range(count)]
    timing = (run.info.fps, times, False, count / run.info.fps)
    video = PartedVideo.of(folder.target, run.info, settings.encode, *timing)
    part = PartWriter(folder.path / "segment-00000.nut", video, 0)
    try:
        pictures = enumerate(run.models.codec.decode(faces.reference))
        options = (run.resolution, settings.blend, settings.antialias)
        for composited in composite(frames, pictures, matrices, *options):
            part.write(composited.picture)
        part.flush()
    finally:
        part.abort()
