"""What a run will take, before it starts: every kind of work is done once on a few frames and timed."""

import contextlib
import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ..audio import SAMPLE_RATE_HZ, extract_features, feature_key
from ..audio.cache import KIND as FEATURES
from ..audio.features import FEATURE_RATE_HZ
from ..diffusion import WindowGroup, plan_windows, window_groups
from ..errors import LatentSyncError
from ..faces import LATENT_STRIDE, FaceTrack, parse_face, track_selected
from ..faces.face_track import GapFilling
from ..faces.landmarks import LEFT_BROW, NOSE, RIGHT_BROW
from ..faces.networks.facemesh import MESH_POINTS
from ..generators.clip import Clip
from ..generators.generator import Generator, timed
from ..generators.segments import SEGMENT_FRAMES, Segment, plan_segments
from ..media import Frame, VideoInfo, VideoReader
from ..media.write.parts import PartedVideo, PartWriter
from ..progress import Callbacks, OnEstimate
from ..run_log import RunLog
from ..settings import Settings
from .composite import Composited, composite
from .generate import clip_of
from .peak_memory import peak_memory
from .plan import Inputs, Plan, seconds_needed
from .resume.run_folder import RunFolder
from .run_cache import holds_track, run_track_key
from .voice import Voice, voice_length

PROBE_FRAMES = 8  # of the source, on which all work is tried
BLOCK_SECONDS = 30  # of voice, encoded at once
LATENT_CHANNELS = 12  # masked face, whole face, result: 4 each
FLOAT_BYTES = 4
VOICE_BYTES = 150_000  # per second of voice while it is heard: the waveform, its spectrogram, and a copy of either
ENCODER_FRAMES = 60  # pictures x264 and x265 look ahead and refer back to
ENCODER_SHARE = 2  # what a picture takes there, by the picture's own bytes
MIB = 2**20


@dataclass(frozen=True)
class Work:
    """How much there is to do: seconds of voice, source frames to track, faces to encode, windows and output frames.

    found: names of stages whose result is at hand already, left by another run.
    """

    voice: float
    read: int
    faces: int
    windows: int
    frames: int
    found: frozenset[str] = frozenset()


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
        generator: Generator,
        settings: Settings,
        folder: RunFolder,
        on_estimate: OnEstimate | None = None,
    ):
        self._inputs, self._settings, self._folder = inputs, settings, folder
        self._generator, self._on_estimate = generator, on_estimate
        self._told: dict[str, Any] = {}
        if on_estimate is not None:
            self._costs = measure_costs(inputs, generator, settings, folder)
            found = found_results(inputs, generator, settings, folder)
            self._tell("at_most", replace(work_at_most(inputs, settings), found=found))

    def tell_rest(self, plan: Plan, voice: Voice, generator: Generator) -> None:
        """Once the source has been read: what is left to do, and by which generator."""
        if self._on_estimate is not None:
            if generator is not self._generator:
                self._generator, self._settings = generator, plan.settings
                self._costs = measure_costs(self._inputs, generator, plan.settings, self._folder)
            kept = self._folder.before is not None
            left = [part for part in plan.segments if not (kept and self._folder.part(part).exists())]
            self._tell("after_tracking", work_left(plan, left, generator.found_faces(clip_of(plan, voice))))

    def compared(self, log: RunLog) -> dict[str, Any]:
        """For the report: what was told, and what it really took, in all and by stage."""
        if self._on_estimate is None:
            return {}
        device = self._generator.device
        vram = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
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
    return {name: 0.0 if name in work.found else round(value, 1) for name, value in stages.items()}


def peak_estimate(video: VideoInfo, settings: Settings, work: Work) -> int | None:
    """Bytes at the peak: what trying everything took, and what grows with the clip on top."""
    tried = peak_memory()
    if tried is None:
        return None
    side = (settings.resolution or 0) // LATENT_STRIDE
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


def found_results(inputs: Inputs, generator: Generator, settings: Settings, folder: RunFolder) -> frozenset[str]:
    """The stages whose results this run will find: the voice's features, and the track of its faces."""
    found = {"faces"} if folder.before is not None else set()
    cache = settings.cache and settings.cache.reopened()  # what is only looked for here is not counted
    if cache is None:
        return frozenset(found)
    waveform = inputs.voice.waveform()
    if cache.holds(FEATURES, feature_key(waveform, generator.audio_encoder, settings.joins)):
        found.add("voice")
    needed = seconds_needed(voice_length(inputs.voice, len(waveform)), settings)
    if holds_track(cache, run_track_key(inputs, generator.device, replace(settings, cache=cache)), needed):
        found.add("faces")
    return frozenset(found)


def work_left(plan: Plan, segments: Sequence[Segment], found: Collection[int] = ()) -> Work:
    """What `segments` of a clip, those not finished yet, still need; the voice and the source have been read.

    found: source frames whose faces need not be encoded.
    """
    shown = {
        plan.timeline.source[f] for part in segments for span in part.windows for f in range(span.start, span.stop)
    }
    windows = count_windows(group for part in segments for group in part.groups)
    return Work(0.0, 0, len(shown - set(found)), windows, sum(map(len, segments)))


def count_windows(groups: Iterable[WindowGroup]) -> int:
    """How many windows are denoised for some groups."""
    return sum(len(group.windows) for group in groups)


def measure_costs(inputs: Inputs, generator: Generator, settings: Settings, folder: RunFolder) -> Costs:
    """Do every kind of work once, with what it needs on a few frames of the source, and time it.

    Draws no random numbers but its own, and leaves nothing in `folder` or in the cache.
    """
    device, on_gpu = generator.device, generator.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    silence = torch.zeros(SAMPLE_RATE_HZ // 2)
    voice = timed(lambda: extract_features(silence, generator.audio_encoder))
    with VideoReader(inputs.video.path) as reader:
        frames, track, tracking = track_few(reader, settings, device)
    clip = few_frames(inputs, frames, track, generator, replace(settings, cache=None))
    (segment,), begun = clip.segments, []
    with VideoReader(inputs.video.path) as reader:

        def encode() -> None:
            generation = generator.begin(clip, reader)
            begun.append((generation, generation.encode(segment, Callbacks())))

        face = timed(encode) / len(frames)
        generation, encoded = begun[-1]
        window, generated = generation.try_window(segment, encoded)

        def write() -> None:
            composited = composite(frames, generation.faces(segment, generated), clip.crops)
            write_few(composited, len(frames), inputs.video, settings, folder)

        frame = timed(write) / len(frames)
    vram = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return Costs(voice, tracking, face, window, frame, vram)


def few_frames(
    inputs: Inputs, frames: Sequence[Frame], track: FaceTrack, generator: Generator, settings: Settings
) -> Clip:
    """The first frames as a clip of one window, with features of silence."""
    encoder, count = generator.audio_encoder, len(frames)
    times = [Fraction(index) / inputs.video.fps for index in range(count)]
    steps = math.ceil(times[-1] * FEATURE_RATE_HZ) + 1
    return Clip(
        video=inputs.video.path,
        track=track,
        crops=generator.face_crops(track, settings),
        source=range(count),
        times=times,
        strength=np.ones(count, np.float32),
        segments=plan_segments(count, plan_windows([True] * count, (), max(count, 2), 0)),
        features=torch.zeros(steps, encoder.layers, encoder.width),
        settings=settings,
    )


def track_few(reader: VideoReader, settings: Settings, device: torch.device) -> tuple[list[Frame], FaceTrack, float]:
    """The first frames, the face that is first seen in them, at rest, and seconds per frame to decode and track."""
    frames: list[Frame] = []
    stamps: list[float] = []

    def watched():
        for frame in reader.frames(0, PROBE_FRAMES):
            stamps.append(time.perf_counter())
            frames.append(frame)
            yield frame

    mesh = mesh_in_the_middle(reader.info.width, reader.info.height)
    with contextlib.suppress(LatentSyncError):  # no face this early, which the run itself will tell where it matters
        found = track_selected(watched(), parse_face(settings.face), device=device)
        mesh = found.mesh[found.present][0]
    stamps.append(time.perf_counter())
    track = FaceTrack.from_meshes(
        np.repeat(mesh[None], len(frames), axis=0),
        np.ones(len(frames)),
        cuts=[],
        size=(reader.info.height, reader.info.width),
        filling=GapFilling(),
    )
    paces = np.diff(stamps)
    return frames, track, float(np.median(paces[1:] if len(paces) > 1 else paces))


def mesh_in_the_middle(width: int, height: int) -> np.ndarray:
    """Stands in for a face's mesh (468, 3): an oval a third of the picture high with brows and nose."""
    unit = min(width, height) / 12
    angle = np.linspace(0, 2 * np.pi, MESH_POINTS, endpoint=False)
    mesh = np.stack([1.5 * np.cos(angle), 2 * np.sin(angle), np.zeros(MESH_POINTS)], axis=1)
    for points, place in ((LEFT_BROW, (-1, -1)), (RIGHT_BROW, (1, -1)), (NOSE, (0, 0))):
        mesh[list(points), :2] = place
    return (unit * mesh + [width / 2, height / 2, 0]).astype(np.float32)


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
