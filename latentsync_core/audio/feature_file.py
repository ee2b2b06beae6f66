"""Features of a long voice, stored on disk: only the rows that are read come into memory."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from io import BufferedRandom

import numpy as np
import torch
from torch import Tensor

from ..errors import LatentSyncError

PIECE_STEPS = 1500  # 30 s: rows per piece


class FeatureFile:
    """(T, layers, width) float32 features in a file: len(), shape, nbytes and [a:b] as of a tensor.

    file: open for writing and reading, empty, and the object's own from then on; a nameless one is removed with the
    process, even if that is killed.
    """

    def __init__(self, file: BufferedRandom, pieces: Iterable[Tensor]):
        """Write `pieces`, (any number, layers, width) each, one after the other.

        Raises OSError where the disk is full, ValueError where there are no pieces.
        """
        self._file, steps, row = file, 0, None
        try:
            for piece in pieces:
                file.write(np.ascontiguousarray(piece.numpy(), np.float32).data)
                steps, row = steps + len(piece), piece.shape[1:]
            file.flush()
        except BaseException:
            with contextlib.suppress(OSError):  # closing tries once more to write what did not fit
                file.close()
            raise
        if row is None:
            raise ValueError("there are no pieces")
        self.shape = torch.Size((steps, *row))

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self.shape.numel() * np.dtype(np.float32).itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows can be read in steps of 1, not {step}")
        found = np.empty((max(stop - start, 0), *self.shape[1:]), np.float32)
        self._file.seek(start * found[:1].nbytes if len(found) else 0)
        if self._file.readinto(found.data) != found.nbytes:
            raise LatentSyncError("The audio features on disk were truncated during the run; start the run again.")
        return torch.from_numpy(found)


class FeatureArray:
    """(T, layers, width) float32 features in an array that processes may share: len(), shape, nbytes and [a:b]."""

    def __init__(self, features: "Features"):
        self._rows = features[0 : len(features)].numpy()
        self.shape, self.nbytes = torch.Size(self._rows.shape), self._rows.nbytes

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return torch.from_numpy(np.array(self._rows[rows]))  # a copy, as shared memory is read-only


Features = Tensor | FeatureFile | FeatureArray
Keep = Callable[[Iterator[Tensor]], Features]
"""Where pieces of features go: into memory (`join_pieces`) or a file (`keep_on_disk`)."""


def keep_on_disk(pieces: Iterable[Tensor]) -> FeatureFile:
    """Pieces (any number, layers, width) in a nameless file where the system keeps such."""
    return FeatureFile(tempfile.TemporaryFile(), pieces)


def join_pieces(pieces: Iterable[Tensor]) -> Tensor:
    """Pieces (any number, layers, width) as one tensor in memory."""
    return torch.cat(tuple(pieces))


def take(features: Features, steps: Tensor) -> Tensor:
    """The rows of (T, layers, width) features at `steps`, int64 of any shape: (*shape, layers, width)."""
    if isinstance(features, Tensor):
        return features[steps]
    first, stop = (int(steps.min()), int(steps.max()) + 1) if steps.numel() else (0, 0)
    return features[first:stop][steps - first]


def spans(length: int) -> Iterator[slice]:
    """0 to `length` in slices of 30 s."""
    for start in range(0, length, PIECE_STEPS):
        yield slice(start, min(start + PIECE_STEPS, length))
