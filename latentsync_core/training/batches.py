"""Training batches: windows of consecutive frames, what they hear, and reference frames from elsewhere in the clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..faces import fixed_mask, latent_mask
from ..pipeline.encode import FaceLatents
from .dataset import POSTERIORS, Clip

MEL_RATE_HZ = 80
RATE_SLACK = 1e-3  # seconds a frame may come early or late
MEL_STEPS = 52  # of one window of StableSyncNet


@dataclass(frozen=True)
class Place:
    """A window of a clip and the window its reference frames come from: first frames."""

    clip: int
    target: int
    reference: int


@dataclass(frozen=True)
class TrainingBatch:
    """b windows of f frames.

    target (b, 4, f, h, w): clean latents. condition (b, 9, f, h, w): mask, masked face, reference, as at inference.
    voice (b*f, n, d): audio tokens, positions added as trained. crops (b, f, r, r, 3) uint8, mel (b, 1, 80, 52): the
    pictures and the voice for the losses that look and listen; empty where not asked for.
    """

    target: Tensor
    condition: Tensor
    voice: Tensor
    crops: Tensor
    mel: Tensor

    def to(self, device: torch.device | str) -> "TrainingBatch":
        """The same on another device."""
        return TrainingBatch(*(value.to(device, non_blocking=True) for value in vars(self).values()))


class TrainingWindows:
    """All windows of some prepared clips, from which batches are drawn.

    with_pictures: whether batches carry crops and mel.
    """

    def __init__(self, clips: Sequence[Clip], window: int, resolution: int, *, with_pictures: bool = False):
        self.window, self.with_pictures = window, with_pictures
        self.clips = list(clips)
        self.starts = [starts_of(clip, window) for clip in self.clips]
        self.places = [
            (index, start)
            for index, starts in enumerate(self.starts)
            for start in starts
            if separate(starts, start, window)
        ]
        if not self.places:
            raise LatentSyncError(
                f"None of the {len(clips)} clips holds two separate windows of {window} frames with a face; longer "
                f"clips are needed: reference frames must not show the mouth that is to be learned."
            )
        self.mask = latent_mask(fixed_mask(resolution))
        self.voices = [clip.read("features", "indices", "times", "mel") for clip in self.clips]

    def require_rate(self, fps: int) -> None:
        """LatentSyncError naming the first clip that is not shown at `fps` frames per second throughout."""
        for clip, voice in zip(self.clips, self.voices, strict=True):
            if not torch.allclose(voice["times"].diff(), torch.tensor(1 / fps, dtype=torch.float64), atol=RATE_SLACK):
                raise LatentSyncError(
                    f"{clip.name} is not shown at {fps} frames per second, as loss.sync needs; convert the clip, or "
                    f"set loss.sync to 0."
                )

    def __len__(self) -> int:
        return len(self.places)

    def draw(self, batch: int, trained: TrainedConditioning, generator: torch.Generator) -> TrainingBatch:
        """A batch of windows, uniformly over all of them, with latents drawn from their posteriors.

        generator: on the CPU; the same state gives the same batch.
        """
        picks = torch.randint(0, len(self.places), (batch,), generator=generator).tolist()
        return self.batch([self._with_reference(*self.places[pick], generator) for pick in picks], trained, generator)

    def _with_reference(self, clip: int, target: int, generator: torch.Generator) -> Place:
        """Choose the reference window uniformly among those of the clip that share no frame with the target."""
        starts = separate(self.starts[clip], target, self.window)
        return Place(clip, target, starts[int(torch.randint(0, len(starts), (1,), generator=generator))])

    def batch(self, places: Sequence[Place], trained: TrainedConditioning, generator: torch.Generator) -> TrainingBatch:
        """The windows at `places`, in that order."""
        windows = [self._window(place, trained, generator) for place in places]
        target, condition, voice, crops, mel = zip(*windows, strict=True)
        return TrainingBatch(*map(torch.stack, (target, condition)), torch.cat(voice), *map(torch.stack, (crops, mel)))

    def _window(self, place: Place, trained: TrainedConditioning, generator: torch.Generator) -> tuple[Tensor, ...]:
        clip, voice = self.clips[place.clip], self.voices[place.clip]
        span = slice(place.target, place.target + self.window)
        here = clip.rows(span.start, span.stop, *POSTERIORS, *(["crops"] if self.with_pictures else []))
        there = clip.rows(place.reference, place.reference + self.window, "mean", "std")
        target = sample_posterior(here["mean"], here["std"], generator)
        masked = sample_posterior(here["masked_mean"], here["masked_std"], generator)
        reference = sample_posterior(there["mean"], there["std"], generator)
        rows = {frame: frame for frame in range(self.window)}
        faces = FaceLatents(masked, reference, self.mask, rows, 8 * self.mask.shape[-1])
        tokens = trained.audio_tokens(voice["features"], voice["indices"])[span]
        mel = mel_window(voice["mel"], float(voice["times"][span.start])) if self.with_pictures else torch.empty(0)
        crops = here.get("crops", torch.empty(0, dtype=torch.uint8))
        return target.transpose(0, 1), faces.condition(range(self.window))[0], tokens, crops, mel


def sample_posterior(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """Latents drawn as the pipeline draws them: (f, 4, h, w)."""
    return mean + std * torch.randn(mean.shape, generator=generator)


def starts_of(clip: Clip, window: int) -> list[int]:
    """First frames of every window of `window` frames inside a run."""
    return [start for first, stop in clip.runs for start in range(first, stop - window + 1)]


def separate(starts: Sequence[int], target: int, window: int) -> list[int]:
    """Those of `starts` whose window shares no frame with the one at `target`."""
    return [start for start in starts if abs(start - target) >= window]


def mel_window(mel: Tensor, seconds: float) -> Tensor:
    """(80, M) -> (1, 80, 52) from int(80 * seconds) on, the last column held beyond the end (REFERENCE section 1)."""
    start = int(MEL_RATE_HZ * seconds)
    columns = torch.arange(start, start + MEL_STEPS).clamp(max=mel.shape[1] - 1)
    return mel[:, columns][None]
