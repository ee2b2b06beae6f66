"""The face latents of a long clip: encoded when a segment first shows a face, dropped when none shows it any more."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion import shared_noise
from ..faces import LATENT_STRIDE, fixed_mask, latent_mask
from ..media import VideoReader
from ..models.vae import LatentCodec
from ..progress import CheckCancelled, OnProgress
from .clip import Clip
from .face_latents import FaceLatents, FaceMoments, HideMouth, batches_by_window, face_moments, hide_lower_face
from .moments_cache import CachedMoments
from .segments import Segment

KEPT_BYTES = 512 * 2**20  # of latents that a later segment shows again; beyond that they are encoded again when needed


class ClipNoise:
    """All noise of a clip, drawn by one CPU generator in the reference's order, whichever part is asked for first.

    First the noise every window starts from, then for every batch of faces (REFERENCE section 1, "Latents and mask")
    that of the masked and of the whole faces. A seed so means the same noise in the same places however the clip is
    segmented. `again`: the batches that may be asked for more than once.
    """

    def __init__(self, seed: int, side: int, batches: Sequence[Sequence[int]], again: set[int]):
        self._generator = torch.Generator().manual_seed(seed)
        self._batches, self._side, self._again = batches, side, again
        self.start = shared_noise(side, self._generator)  # (1, 4, 1, side, side)
        self._drawn = 0  # batches the generator has passed
        self._states: dict[int, Tensor] = {}

    def before(self, batch: int) -> torch.Generator:
        """A generator about to draw the noise of `batch`."""
        while self._drawn <= batch:
            if self._drawn in self._again or self._drawn == batch:
                self._states[self._drawn] = self._generator.get_state()
            for _ in ("masked", "whole"):
                torch.randn((len(self._batches[self._drawn]), 4, self._side, self._side), generator=self._generator)
            self._drawn += 1
        state = self._states[batch] if batch in self._again else self._states.pop(batch)
        return torch.Generator().set_state(state)


class LatentCache:
    """Face latents segment by segment; a face is encoded in the batch, and with the noise, of the window that first
    shows it, even where only a later showing needs it.

    reader: of the clip's video. clip: whose crops are square. moments: where another run may have left those of the
    faces. hide_mouth: what the masked faces lack. noise: the clip's. faces: how many source frames are synced.
    peak: the most bytes of latents held so far.
    """

    def __init__(
        self,
        reader: VideoReader,
        clip: Clip,
        codec: LatentCodec,
        moments: CachedMoments | None = None,
        hide_mouth: HideMouth = hide_lower_face,
    ):
        segments, source, resolution = clip.segments, clip.source, clip.settings.resolution
        self._reader, self._source, self._crops, self._codec = reader, source, clip.crops, codec
        self._resolution, self._moments, self._hide_mouth = resolution, moments, hide_mouth
        self._batches = batches_by_window([span for segment in segments for span in segment.windows], source)
        self._batch_of = {frame: number for number, batch in enumerate(self._batches) for frame in batch}
        self._done = list(itertools.accumulate(map(len, self._batches)))
        first: dict[int, int] = {}
        self._last: dict[int, int] = {}  # the last segment that shows a source frame
        for segment in segments:
            for frame in self._shown(segment):
                first.setdefault(frame, segment.index)
                self._last[frame] = segment.index
        again = {self._batch_of[frame] for frame, last in self._last.items() if last > first[frame]}
        self.noise = ClipNoise(clip.settings.seed, resolution // LATENT_STRIDE, self._batches, again)
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}  # source frame -> masked and whole, (4, h, w) each
        self.faces = len(self._batch_of)
        self.peak = 0

    def of(self, segment: Segment, on_progress: OnProgress, check_cancelled: CheckCancelled) -> FaceLatents:
        """The latents of every face `segment` shows, encoded unless an earlier segment left them behind."""
        shown = self._shown(segment)
        numbers = sorted({self._batch_of[frame] for frame in shown if frame not in self._rows})
        on_progress(self._done_before(numbers[0]) if numbers else self._done[self._batch_of[shown[-1]]], self.faces)
        for number in numbers:
            self._encode(number, check_cancelled)
            on_progress(self._done[number], self.faces)
        rows = [self._rows[frame] for frame in shown]
        masked, reference = (torch.stack([row[kind] for row in rows]) for kind in range(2))
        self.peak = max(self.peak, sum(map(bytes_of, [*self._rows.values(), (masked, reference)])))
        self._forget(segment.index)
        row_of = {frame: row for row, frame in enumerate(shown)}
        mask = latent_mask(fixed_mask(self._resolution))
        return FaceLatents(masked, reference, mask, row_of, self._resolution)

    def _shown(self, segment: Segment) -> list[int]:
        """The source frames whose faces `segment` generates, in the order of first showing."""
        return list(dict.fromkeys(self._source[f] for span in segment.windows for f in range(span.start, span.stop)))

    def _done_before(self, number: int) -> int:
        """How many faces the batches before batch `number` hold."""
        return self._done[number] - len(self._batches[number])

    def _encode(self, number: int, check_cancelled: CheckCancelled) -> None:
        batch = self._batches[number]

        def compute() -> FaceMoments:
            crops = []
            for frame in self._reader.frames_at(batch):
                check_cancelled()
                crops.append(self._crops.crop(frame))
            return face_moments(crops, self._codec, check_cancelled, self._hide_mouth)

        moments = compute() if self._moments is None else self._moments.of(batch, compute)
        drawn = moments.sample(self.noise.before(number))
        self._rows |= {frame: rows for frame, *rows in zip(batch, *drawn, strict=True)}

    def _forget(self, segment: int) -> None:
        """Keep what a segment after number `segment` shows again, the latest first, as far as it fits."""
        kept: dict[int, tuple[Tensor, Tensor]] = {}
        room = KEPT_BYTES
        for frame, rows in reversed(self._rows.items()):
            if self._last[frame] > segment and room >= bytes_of(rows):
                kept[frame] = rows
                room -= bytes_of(rows)
        self._rows = dict(reversed(kept.items()))


def bytes_of(tensors: Sequence[Tensor]) -> int:
    """What some tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
