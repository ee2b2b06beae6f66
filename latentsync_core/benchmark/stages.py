"""What each stage costs a frame, from reading it to writing it: time, operations, and how much of the device is used.

Every pass takes the same window of frames through the pipeline's own functions, one stage after the other, so that
what slows the machine for a while falls on all of them.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..audio import SAMPLE_RATE_HZ, extract_features
from ..audio.tokens import STEPS_PER_FRAME
from ..diffusion import Guidance, TensorConditioning, Window, make_schedule, shared_noise
from ..diffusion.prediction import GuidedStep, WindowInputs, window_inputs
from ..errors import LatentSyncError
from ..faces import LATENT_STRIDE, FaceNets, FaceTrack, MouthMasks, Seam, track_faces
from ..generators.aligned_faces import AlignedFaces, Alignment
from ..generators.face_crops import Composited
from ..generators.face_latents import FaceLatents, encode_faces
from ..media import Frame, VideoReader, VideoWriter
from ..models.loading import Models
from ..options import DEFAULT_GUIDANCE, DEFAULT_STEPS, WINDOW_FRAMES
from ..pipeline.composite import composite
from ..pipeline.peak_memory import peak_memory
from .compute import count_flops, matmul_rate
from .timing import Duration, StageTiming, timed

Result = TypeVar("Result")
VOICE_SECONDS = 30  # a block, as Whisper takes it
SIDES = {"guided": DEFAULT_GUIDANCE, "voice only": 1.0}  # predictions of a step: with and without the voice, or one
STEP_KINDS = ("full", "cached")  # cached: deep features of an earlier step are reused (REFERENCE section 4)


@dataclass(frozen=True)
class StageCost:
    """A stage's cost per frame.

    timing: ms by pass; of the UNet, for one denoising step. cpu: the processors' part, all threads together; what other
    processes do hardly changes it. flops: operations, 0 where they are not torch's. vram: bytes on the GPU at the
    stage's peak, None without one.
    """

    timing: StageTiming
    cpu: StageTiming
    flops: float
    vram: int | None

    def share(self, peak: float) -> float:
        """How much of `peak` operations per second the stage reaches."""
        return self.flops / (self.timing.median / 1000) / peak


@dataclass(frozen=True)
class StageCosts:
    """All stages of a window: sizes in pixels, `peak` operations per second of a matrix product, RAM in bytes."""

    video: Path
    width: int
    height: int
    frames: int
    resolution: int
    sources: dict[str, Any]
    threads: int
    peak: float
    stages: list[StageCost]
    ram: int | None

    def denoising(self, side: str, steps: int = DEFAULT_STEPS, reuse: int = 1) -> float:
        """ms per frame of `steps` denoising steps of which every `reuse`-th is full."""
        full, cached = (self.stage(f"UNet {side}, {kind}").timing.median for kind in STEP_KINDS)
        full_steps = -(-steps // reuse)
        return full_steps * full + (steps - full_steps) * cached

    def stage(self, name: str) -> StageCost:
        """The stage called `name`."""
        return next(stage for stage in self.stages if stage.timing.name == name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with medians and shares of the peak beside the samples."""
        stages = [
            {
                "name": stage.timing.name,
                "ms_per_frame": stage.timing.median,
                "samples_ms": list(stage.timing.samples),
                "cpu_ms_per_frame": stage.cpu.median,
                "gflop_per_frame": stage.flops / 1e9,
                "share_of_peak": stage.share(self.peak),
                "vram_bytes": stage.vram,
            }
            for stage in self.stages
        ]
        sources = {name: str(source) for name, source in self.sources.items()}
        return {**asdict(self), "video": str(self.video), "sources": sources, "stages": stages}


@dataclass
class Meter:
    """Collects what each stage costs on `device`, in passes over `frames` frames; the first pass counts operations.

    That pass also warms up: it fills caches, chooses kernels and is not timed. peak: operations per second of a matrix
    product in `dtype`, the most that was reached in moments between the stages.
    """

    device: torch.device
    dtype: torch.dtype
    frames: int
    counting: bool = True
    peak: float = 0.0
    samples: dict[str, list[Duration]] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)
    vram: dict[str, int | None] = field(default_factory=dict)

    def stage(self, name: str, work: Callable[[], Result], frames: float | None = None) -> Result:
        """What `work` returns, and its cost noted by frame. frames: that `work` does, where they are others."""
        frames = frames or self.frames
        if self.counting:
            on_gpu = self.device.type == "cuda"
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(self.device)
            result, flops = count_flops(work)
            self.flops[name] = flops / frames
            self.vram[name] = torch.cuda.max_memory_allocated(self.device) if on_gpu else None
            return result
        result, duration = timed(work, self.device)
        self.samples.setdefault(name, []).append(Duration(duration.wall / frames, duration.cpu / frames))
        self.peak = max(self.peak, matmul_rate(self.device, self.dtype))
        return result

    def costs(self) -> list[StageCost]:
        """Every stage in the order of the work."""
        return [
            StageCost(
                timing=StageTiming(name, tuple(sample.wall for sample in samples)),
                cpu=StageTiming(name, tuple(sample.cpu for sample in samples)),
                flops=self.flops[name],
                vram=self.vram[name],
            )
            for name, samples in self.samples.items()
        ]


def measure_stages(
    video: Path, models: Models, frames: int = WINDOW_FRAMES, resolution: int | None = None, runs: int = 3
) -> StageCosts:
    """Take the first `frames` frames of `video` through every stage, `runs` times after a pass that counts.

    video: a face must show in each of these frames. resolution: of the crop in pixels, None = the checkpoint's.
    Raises LatentSyncError as the reader and the tracker do, and where a frame shows no face.
    """
    resolution = models.working_resolution(resolution)
    meter, nets = Meter(models.device, models.unet.dtype, frames), FaceNets(models.device)
    with VideoReader(video) as reader:
        info = reader.info
    with tempfile.TemporaryDirectory(prefix="latentsync-stages-") as folder, torch.inference_mode():
        for number in range(runs + 1):
            meter.counting = number == 0
            written = Path(folder) / f"{number}.mp4"
            take_window(video, written, models, resolution, nets, meter)
    return StageCosts(
        video=video,
        width=info.width,
        height=info.height,
        frames=frames,
        resolution=resolution,
        sources=dict(models.sources),
        threads=torch.get_num_threads(),
        peak=meter.peak,
        stages=meter.costs(),
        ram=peak_memory(),
    )


def take_window(video: Path, written: Path, models: Models, resolution: int, nets: FaceNets, meter: Meter) -> None:
    """One pass: read a window of frames, make their mouths speak, write them to `written`."""
    count, codec = meter.frames, models.codec
    with VideoReader(video) as reader:
        frames = meter.stage("read", lambda: list(reader.frames(0, count)))
        info = reader.info
    if len(frames) < count:
        raise LatentSyncError(
            f"{video} has {len(frames)} frames; {count} are measured: give --frames or a longer clip."
        )
    track = meter.stage("track", lambda: track_faces(read_again(frames), nets=nets))
    check_faces(video, track)
    alignment = Alignment(track.matrices(resolution), resolution, antialias=True)
    crops = meter.stage("crop", lambda: list(alignment.crops(read_again(frames))))
    generator = torch.Generator().manual_seed(0)
    faces = meter.stage("encode", lambda: encode_faces(crops, [list(range(count))], codec, generator))
    tokens = encode_voice(models, info.fps, count, meter)
    latents = denoise(faces, tokens, models, meter)
    decoded = meter.stage("decode", lambda: codec.decode(latents[0].transpose(0, 1)))
    pasting = AlignedFaces(alignment, MouthMasks(resolution, Seam()))
    pasted = meter.stage("paste", lambda: list(composite(read_again(frames), enumerate(decoded), pasting)))
    meter.stage("write", lambda: write(pasted, VideoWriter(written, info)))


def check_faces(video: Path, track: FaceTrack) -> None:
    """Every frame must take part, or the costs would be those of fewer."""
    missing = (~track.present).nonzero()[0].tolist()
    if missing:
        raise LatentSyncError(
            f"{video}: frame {missing[0]} shows no face, and every stage is measured on every frame: give a clip with "
            f"a face in its first {len(track)} frames, or measure fewer."
        )


def read_again(frames: Iterable[Frame]) -> list[Frame]:
    """The frames as a reader gives them, without the RGB picture that a frame keeps once it was asked for."""
    return [replace(frame) for frame in frames]


def encode_voice(models: Models, fps: float, count: int, meter: Meter) -> torch.Tensor:
    """Encode a block of silence, whose cost is shared by the frames of its 30 s; tokens (count, n, d)."""
    silence = torch.zeros(VOICE_SECONDS * SAMPLE_RATE_HZ)
    features = meter.stage("voice", lambda: extract_features(silence, models.whisper), VOICE_SECONDS * float(fps))
    return features[:STEPS_PER_FRAME].flatten(0, 1).expand(count, -1, -1)  # (count, 10 * layers, width)


def denoise(faces: FaceLatents, tokens: torch.Tensor, models: Models, meter: Meter) -> torch.Tensor:
    """One step of each side and kind from the same noise; the noise predicted last, (1, 4, f, h, w)."""
    count = len(tokens)
    conditioning = TensorConditioning(faces.condition(range(count)), tokens)
    noise = shared_noise(faces.resolution // LATENT_STRIDE, torch.Generator().manual_seed(0))
    noise = noise.expand(-1, -1, count, -1, -1).to(models.device)
    timestep = make_schedule("ddim", DEFAULT_STEPS).timesteps[0]
    for side, scale in SIDES.items():
        (window,) = window_inputs([Window(0, count)], conditioning, models.unet.dtype, models.device, reuse=True)
        for kind in STEP_KINDS:  # the first fills the features that the second reuses
            predicted = meter.stage(
                f"UNet {side}, {kind}",
                lambda window=window, scale=scale: predict(models, noise, timestep, window, scale),
            )
    return predicted


def predict(
    models: Models, noise: torch.Tensor, timestep: torch.Tensor, window: WindowInputs, scale: float
) -> torch.Tensor:
    """The guided noise prediction, as sampling makes it at every step."""
    return GuidedStep(models.unet, timestep, Guidance(scale), scale).predict(noise, [window])


def write(pasted: Iterable[Composited], writer: VideoWriter) -> None:
    """Encode every picture and complete the file, so that what the encoder holds back counts too."""
    with writer:
        for frame in pasted:
            writer.write(frame.picture)
