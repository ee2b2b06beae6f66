"""Training batches: windows of consecutive frames, their audio tokens, and reference frames from the same clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..faces import latent_mask
from .dataset import POSTERIORS, Clip
from .generator_inputs import GeneratorInputs, LatentSyncInputs

MEL_RATE_HZ = 80
RATE_TOLERANCE = 1e-3  # seconds by which a frame's duration may differ
MEL_STEPS = 52  # of one window of StableSyncNet


@dataclass(frozen=True)
class WindowPair:
    """A target window of a clip and the window its reference frames come from, by their first frames."""

    clip: int
    target: int
    reference: int


@dataclass(frozen=True)
class TrainingBatch:
    """b windows of f frames.

    target (b, 4, f, h, w): clean latents. condition (b, c, f, h, w): masked face, reference and, for LatentSync, the
    mask, as at inference.
    voice (b*f, n, d): audio tokens, positions added as trained. crops (b, f, r, r, 3) uint8, mel (b, 1, 80, 52): the
    pictures and the mel spectrogram for the pixel and sync losses; empty where these are not used.
    """

    target: Tensor
    condition: Tensor
    voice: Tensor
    crops: Tensor
    mel: Tensor

    def to(self, device: torch.device | str) -> "TrainingBatch":
        """The same on another device."""
        return TrainingBatch(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


class TrainingWindows:
    """All windows of some prepared clips, from which batches are drawn.

    inputs: of the generator in training. with_pictures: whether batches carry crops and mel.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        window: int,
        resolution: int,
        *,
        inputs: GeneratorInputs | None = None,
        with_pictures: bool = False,
    ):
        self.window, self.with_pictures = window, with_pictures
        self.inputs = inputs or LatentSyncInputs()
        self.clips = list(clips)
        self.starts = [starts_of(clip, window) for clip in self.clips]
        self.targets = [  # clip and first frame
            (index, start)
            for index, starts in enumerate(self.starts)
            for start in starts
            if disjoint_starts(starts, start, window)
        ]
        if not self.targets:
            raise LatentSyncError(
                f"None of the {len(clips)} clips holds two separate windows of {window} frames with a face; longer "
                f"clips are needed: reference frames must not show the mouth that is to be learned."
            )
        self.mask = latent_mask(self.inputs.mask(resolution))
        self.voices = [clip.read("features", "indices", "times", "mel") for clip in self.clips]

    def require_rate(self, fps: int) -> None:
        """LatentSyncError naming the first clip that is not shown at `fps` frames per second throughout."""
        for clip, voice in zip(self.clips, self.voices, strict=True):
            if not torch.allclose(
                voice["times"].diff(), torch.tensor(1 / fps, dtype=torch.float64), atol=RATE_TOLERANCE
            ):
                raise LatentSyncError(
                    f"{clip.name} is not shown at {fps} frames per second, as loss.sync needs; convert the clip, or "
                    f"set loss.sync to 0."
                )

    def __len__(self) -> int:
        return len(self.targets)

    def draw(self, batch: int, trained: TrainedConditioning, generator: torch.Generator) -> TrainingBatch:
        """A batch of windows, uniformly over all of them, with latents drawn from their posteriors.

        generator: on the CPU; the same state gives the same batch.
        """
        picks = torch.randint(0, len(self.targets), (batch,), generator=generator).tolist()
        chosen = [self.targets[pick] for pick in picks]
        pairs = [self._with_reference(clip, target, generator) for clip, target in chosen]
        return self.batch(pairs, trained, generator)

    def _with_reference(self, clip: int, target: int, generator: torch.Generator) -> WindowPair:
        """Choose the reference window uniformly among those of the clip that share no frame with the target."""
        starts = disjoint_starts(self.starts[clip], target, self.window)
        return WindowPair(clip, target, starts[int(torch.randint(0, len(starts), (1,), generator=generator))])

    def batch(
        self, pairs: Sequence[WindowPair], trained: TrainedConditioning, generator: torch.Generator
    ) -> TrainingBatch:
        """The windows of `pairs`, in that order."""
        windows = [self._window(pair, trained, generator) for pair in pairs]
        target, condition, voice, crops, mel = zip(*windows, strict=True)
        return TrainingBatch(
            target=torch.stack(target),
            condition=torch.stack(condition),
            voice=torch.cat(voice),
            crops=torch.stack(crops),
            mel=torch.stack(mel),
        )

    def _window(self, pair: WindowPair, trained: TrainedConditioning, generator: torch.Generator) -> tuple[Tensor, ...]:
        clip, voice = self.clips[pair.clip], self.voices[pair.clip]
        span = slice(pair.target, pair.target + self.window)
        here = clip.rows(span.start, span.stop, *POSTERIORS, *(["crops"] if self.with_pictures else []))
        there = clip.rows(pair.reference, pair.reference + self.window, "mean", "std")
        target = sample_posterior(here["mean"], here["std"], generator)
        masked = sample_posterior(here["masked_mean"], here["masked_std"], generator)
        reference = sample_posterior(there["mean"], there["std"], generator)
        condition = self.inputs.condition(masked, reference, self.mask)[0]
        tokens = trained.audio_tokens(voice["features"], voice["indices"])[span]
        mel = mel_window(voice["mel"], float(voice["times"][span.start])) if self.with_pictures else torch.empty(0)
        crops = here.get("crops", torch.empty(0, dtype=torch.uint8))
        return target.transpose(0, 1), condition, tokens, crops, mel


def sample_posterior(mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
    """Latents sampled as the pipeline samples them: (f, 4, h, w)."""
    return mean + std * torch.randn(mean.shape, generator=generator)


def starts_of(clip: Clip, window: int) -> list[int]:
    """First frames of every window of `window` frames inside one of the clip's intervals."""
    return [start for first, stop in clip.intervals for start in range(first, stop - window + 1)]


def disjoint_starts(starts: Sequence[int], target: int, window: int) -> list[int]:
    """Those of `starts` whose window shares no frame with the one at `target`."""
    return [start for start in starts if abs(start - target) >= window]


def mel_window(mel: Tensor, seconds: float) -> Tensor:
    """(80, M) -> (1, 80, 52) from int(80 * seconds) on, the last column repeated at the end (REFERENCE section 1)."""
    start = int(MEL_RATE_HZ * seconds)
    columns = torch.arange(start, start + MEL_STEPS).clamp(max=mel.shape[1] - 1)
    return mel[:, columns][None]
