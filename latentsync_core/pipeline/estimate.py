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
    MouthMasks,
    Seam,
    alignment_matrices,
    parse_face,
    track_selected,
)
from ..faces.networks.facemesh import MESH_POINTS
from ..media import Frame, VideoInfo, VideoReader
from ..media.write.parts import PartedVideo, PartWriter
from ..models.loading import Models
from ..progress import OnEstimate
from .composite import Blend, Composited, composite
from .encode import Alignment, FaceLatents, encode_faces
from .peak_memory import peak_memory
from .plan import Inputs, Plan
from .resume.run_folder import RunFolder
from .run_log import RunLog
from .segments import SEGMENT_FRAMES, Segment
from .settings import Settings

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
class Estimate:
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


class Estimator:
    """Tells `on_estimate` what a run will take, and the report how true that was; does nothing without it."""

    def __init__(
        self,
        inputs: Inputs,
        models: Models,
        settings: Settings,
        folder: RunFolder,
        on_estimate: OnEstimate | None = None,
    ):
        self._inputs, self._settings, self._folder = inputs, settings, folder
        self._device, self._on_estimate = models.device, on_estimate
        self._told: dict[str, Any] = {}
        if on_estimate is not None:
            self._costs = measure_costs(inputs, models, settings, folder)
            self._tell("at_most", work_at_most(inputs, settings))

    def tell_rest(self, plan: Plan) -> None:
        """Once the source has been read: what is left to do."""
        if self._on_estimate is not None:
            kept = self._folder.before is not None
            left = [part for part in plan.segments if not (kept and self._folder.part(part).exists())]
            self._tell("after_tracking", work_left(plan, left))

    def compared(self, log: RunLog) -> dict[str, Any]:
        """For the report: what was told, and what it really took, in all and by stage."""
        if self._on_estimate is None:
            return {}
        vram = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None
        actual = {"seconds": round(log.seconds, 1), "stages": dict(log.stages), "ram": peak_memory(), "vram": vram}
        return {**self._told, "actual": actual}

    def _tell(self, when: str, work: Work) -> None:
        ram = peak_estimate(self._inputs.video, self._settings, work)
        found = Estimate(work, stage_seconds(work, self._costs), ram, self._costs.vram)
        self._told[when] = found.to_dict()
        self._on_estimate(found)


def stage_seconds(work: Work, costs: Costs) -> dict[str, float]:
    """Scale measured costs to the whole of the work: seconds of every stage."""
    stages = {
        "voice": math.ceil(work.voice / BLOCK_SECONDS) * costs.voice,
        "faces": work.read * costs.faces,
        "encode": work.faces * costs.encode,
        "sample": work.windows * costs.sample,
        "write": work.frames * costs.write,
    }
    return {name: round(value, 1) for name, value in stages.items()}


def peak_estimate(video: VideoInfo, settings: Settings, work: Work) -> int | None:
    """Bytes at the peak: what trying everything took, and what grows with the clip on top."""
    tried = peak_memory()
    if tried is None:
        return None
    side = settings.resolution // LATENT_STRIDE
    track = work.read * MESH_POINTS * 3 * FLOAT_BYTES
    latents = min(work.frames, 2 * SEGMENT_FRAMES) * LATENT_CHANNELS * side * side * FLOAT_BYTES
    picture = video.width * video.height * 3 / 2 * math.ceil(video.bit_depth / 8)
    ahead = (min(ENCODER_FRAMES, work.frames) - PROBE_FRAMES) * ENCODER_SHARE * picture
    return int(tried + max(work.voice * VOICE_BYTES, track + latents + max(ahead, 0)))


def work_at_most(inputs: Inputs, settings: Settings) -> Work:
    """What the headers say there is to do, if every frame shows a face."""
    info, voice = inputs.video, inputs.voice.seconds or 0.0
    stated = info.frames or round((info.duration or voice) * info.fps)
    heard = round(voice * info.fps)
    seconds = {"audio": voice, "video": stated / info.fps}.get(settings.length, min(voice, stated / info.fps))
    frames = max(1, round(seconds * (settings.rate or info.fps)))
    read = stated if settings.length == "video" else min(stated, heard)
    windows = window_groups(plan_windows([True] * frames, (), settings.window, settings.overlap))
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


def measure_costs(inputs: Inputs, models: Models, settings: Settings, folder: RunFolder) -> Costs:
    """Do every kind of work once, with what it needs on a few frames of the source, and time it.

    Draws no random numbers but its own, and leaves nothing in `folder`.
    """
    on_gpu = models.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(models.device)
    silence = torch.zeros(SAMPLE_RATE_HZ // 2)
    voice = timed(lambda: extract_features(silence, models.whisper))
    with VideoReader(inputs.video.path) as reader:
        frames, matrix, tracking = track_few(reader, settings, models.device)
    alignment = Alignment(np.repeat(matrix[None], len(frames), axis=0), settings.resolution, settings.antialias)
    encoded: list[FaceLatents] = []

    def encode() -> None:
        own, batches = torch.Generator().manual_seed(0), [list(range(len(frames)))]
        encoded.append(encode_faces(alignment.crops(frames), batches, models.codec, own))

    face = timed(encode) / len(frames)
    window = window_seconds(encoded[-1], settings, models)

    def write() -> None:
        faces = enumerate(models.codec.decode(encoded[-1].reference))
        masks = MouthMasks(settings.resolution, Seam(color_match="off"))
        blend = Blend(masks, blend=settings.blend, antialias=settings.antialias)
        write_few(composite(frames, faces, alignment, blend), len(frames), inputs.video, settings, folder)

    frame = timed(write) / len(frames)
    vram = torch.cuda.max_memory_allocated(models.device) if on_gpu else None
    return Costs(voice, tracking, face, window, frame, vram)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes; what is quick is done again, without its setting up."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        if seconds > WARM_SECONDS:
            break
    return seconds


def window_seconds(faces: FaceLatents, settings: Settings, models: Models) -> float:
    """Seconds to denoise one window through all steps, of which some may reuse features."""
    full = timed(lambda: denoise_few(faces, settings, models, steps=1))
    all_full, reused = passes(settings)
    if reused == 0:
        return full * all_full
    pair = timed(lambda: denoise_few(faces, settings, models, steps=2))
    return full * all_full + max(pair - full, 0.0) * reused


def passes(settings: Settings) -> tuple[float, float]:
    """How often a guided window's cost is paid by full steps, and by those that reuse features: a step without
    guidance costs half."""
    scales = [settings.guidance.scale_at(step, settings.steps) for step in range(settings.steps)]
    voice = [step % settings.reuse == 0 for step in range(settings.steps)]
    guided = [step for step, scale in enumerate(scales) if scale > 1]
    null = [step == guided[0] or step % settings.null_interval == 0 for step in guided]
    share = 0.5 if null else 1.0  # of the window that is timed, which is guided if any step is
    full = sum(voice) + sum(null)
    return share * full, share * (len(voice) + len(null) - full)


def track_few(reader: VideoReader, settings: Settings, device: torch.device) -> tuple[list[Frame], np.ndarray, float]:
    """The first frames, the alignment (2, 3) of the face in them, and seconds per frame to decode and track."""
    frames: list[Frame] = []
    stamps: list[float] = []

    def watched():
        for frame in reader.frames(0, PROBE_FRAMES):
            stamps.append(time.perf_counter())
            frames.append(frame)
            yield frame

    points = face_in_the_middle(reader.info.width, reader.info.height)
    with contextlib.suppress(LatentSyncError):  # no face this early, which the run itself will tell where it matters
        track = track_selected(watched(), parse_face(settings.face), device=device)
        points = track.points[track.present][:1]
    stamps.append(time.perf_counter())
    paces = np.diff(stamps)
    matrix = alignment_matrices(points, settings.resolution, settings.alignment)[0]
    return frames, matrix, float(np.median(paces[1:] if len(paces) > 1 else paces))


def face_in_the_middle(width: int, height: int) -> np.ndarray:
    """Alignment points (1, 3, 2) of a face that fills a third of the picture."""
    unit = min(width, height) / 12
    return np.array([[[-unit, -unit], [unit, -unit], [0, unit]]]) + [width / 2, height / 2]


def denoise_few(faces: FaceLatents, settings: Settings, models: Models, steps: int) -> None:
    """One window through a step, or through two, of which the second reuses the first one's features."""
    count, whisper = settings.window, models.whisper
    tokens = torch.zeros(count, STEPS_PER_FRAME * whisper.layers, whisper.width)
    condition = faces.condition([next(iter(faces.row_of))] * count)
    noise = torch.zeros(1, 4, 1, *condition.shape[-2:])
    guidance = max(settings.guidance.scale_at(step, settings.steps) for step in range(settings.steps))
    sampler = SamplerSettings(steps, guidance, settings.solver, models.device, reuse=steps)
    groups, conditioning = window_groups([Window(0, count)]), TensorConditioning(condition, tokens)
    with contextlib.suppress(NonFiniteLatentsError):  # half precision that fails here is repaired in the run
        sample_clip(models.unet, noise, conditioning, groups, sampler, frames=count)


def write_few(frames: Iterable[Composited], count: int, info: VideoInfo, settings: Settings, folder: RunFolder) -> None:
    """Encode a few frames, as they are composited, into a part that never gets its name."""
    video = PartedVideo.of(
        folder.target,
        info,
        settings.encode,
        fps=info.fps,
        times=[index / info.fps for index in range(count)],
        variable=False,
        seconds=count / info.fps,
    )
    part = PartWriter(folder.path / "segment-00000.nut", video, 0)
    try:
        for composited in frames:
            part.write(composited.picture)
        part.flush()
    finally:
        part.abort()
