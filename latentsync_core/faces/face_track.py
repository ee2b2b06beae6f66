"""One face in every frame of a clip: the result of tracking, the input of alignment and reports."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..intervals import runs_of
from ..options import DEFAULT_MAX_GAP
from .align import alignment_matrices
from .landmarks import alignment_points, mesh_box

PLAUSIBLE_SHIFT = 1.0  # face sizes by which a face may move across a gap
PLAUSIBLE_GROWTH = 1.5  # and grow or shrink by this factor
ARRAYS = ("points", "mesh", "boxes", "scores", "states")


class FaceState(IntEnum):
    """How the face of a frame was found."""

    ABSENT = 0
    DETECTED = 1
    INTERPOLATED = 2
    HELD = 3


@dataclass(frozen=True)
class GapFilling:
    """Which gaps of a track are interpolated: those of up to `max_gap` frames that hold no `hidden` frame."""

    max_gap: int = DEFAULT_MAX_GAP
    hidden: Collection[int] = ()

    def fills(self, start: int, stop: int) -> bool:
        """Whether the gap [start, stop) may be interpolated."""
        return stop - start <= self.max_gap and not any(start <= frame < stop for frame in self.hidden)


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face over N frames. Pixels: (0, 0) is the middle of the upper left pixel.

    points (N, 3, 2) float32: centres of left brow, right brow and nose, not rounded; NaN where absent;
    mesh (N, 468, 3) float32: MediaPipe's face mesh, x and y in pixels, z in the same unit; NaN where absent;
    boxes (N, 4) float32: x0, y0, x1, y1 around the mesh; NaN where absent;
    scores (N,) float32: probability 0..1, by the mesh network, that the best region it was given holds a face;
    states (N,) uint8: FaceState; cuts: the frames with which a new shot begins, never 0;
    height, width: of the frames in pixels;
    lip_shifts (N,) float32: how far the lips move in a second fit (occlusion.py), face widths; NaN without one.
    """

    points: np.ndarray
    mesh: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    states: np.ndarray
    cuts: tuple[int, ...]
    height: int
    width: int
    lip_shifts: np.ndarray

    @classmethod
    def from_meshes(
        cls,
        mesh: np.ndarray,
        scores: np.ndarray,
        *,
        cuts: list[int],
        size: tuple[int, int],
        filling: GapFilling,
        lip_shifts: np.ndarray | None = None,
    ) -> "FaceTrack":
        """Build a track from meshes; gaps inside a shot are interpolated where one face can have moved across them.

        Args:
            mesh: (N, 468, 3) float32, NaN where no face was found; used without a copy and filled in.
            scores: (N,) probabilities.
            cuts: the frames with which a new shot begins.
            size: (height, width) in pixels.
            filling: which gaps may be interpolated.
            lip_shifts: (N,), by default NaN.
        """
        mesh = mesh.astype(np.float32, copy=False)
        states = np.where(np.isnan(mesh[:, 0, 0]), FaceState.ABSENT, FaceState.DETECTED).astype(np.uint8)
        for start, stop in gaps(states, cuts):
            if filling.fills(start, stop) and is_plausible(mesh[start - 1], mesh[stop]):
                share = (np.arange(1, stop - start + 1, dtype=np.float32) / (stop - start + 1))[:, None, None]
                mesh[start:stop] = (1 - share) * mesh[start - 1] + share * mesh[stop]
                states[start:stop] = FaceState.INTERPOLATED
        shifts = np.full(len(mesh), np.nan) if lip_shifts is None else lip_shifts
        height, width = size
        return cls(
            points=alignment_points(mesh),
            mesh=mesh,
            boxes=mesh_box(mesh),
            scores=scores.astype(np.float32),
            states=states,
            cuts=tuple(cuts),
            height=height,
            width=width,
            lip_shifts=shifts.astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.states)

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: frames with a face, found, interpolated or held."""
        return self.states != FaceState.ABSENT

    def runs(self) -> list[tuple[int, int]]:
        """The longest intervals [start, stop) with a face in every frame and without a cut inside."""
        return runs_of(self.present, self.cuts)

    def matrices(self, resolution: int, mode: str = "smooth") -> np.ndarray:
        """Alignment matrices (N, 2, 3) for crops of `resolution` pixels, smoothed within each run; NaN where absent."""
        breaks = sorted({start for start, _ in self.runs()} | set(self.cuts))
        return alignment_matrices(self.points, resolution, mode, breaks)

    def counts(self) -> dict[str, int]:
        """Frames per state: {"absent": ..., "detected": ..., "interpolated": ...}, and "held" where there are any."""
        counts = {state.name.lower(): int((self.states == state).sum()) for state in FaceState}
        return counts if counts["held"] else {name: counts[name] for name in counts if name != "held"}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays, for ``np.savez_compressed(path, **track.to_arrays())``."""
        arrays = {name: getattr(self, name) for name in (*ARRAYS, "lip_shifts")}
        return {**arrays, "cuts": np.array(self.cuts, np.int64), "size": np.array([self.height, self.width])}

    @classmethod
    def from_arrays(cls, arrays) -> "FaceTrack":
        """The inverse of `to_arrays`; accepts an open .npz file."""
        height, width = (int(v) for v in arrays["size"])
        cuts = tuple(int(v) for v in arrays["cuts"])
        known = {name: np.asarray(arrays[name]) for name in (*ARRAYS, "lip_shifts")}
        return cls(**known, cuts=cuts, height=height, width=width)


def gaps(states: np.ndarray, cuts: list[int]) -> list[tuple[int, int]]:
    """Intervals [start, stop) without a face that have one on both sides in the same shot."""
    absent = runs_of(states == FaceState.ABSENT)
    inner = [(start, stop) for start, stop in absent if start > 0 and stop < len(states)]
    return [(start, stop) for start, stop in inner if not any(start <= cut <= stop for cut in cuts)]


def is_plausible(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two meshes (468, 3) on either side of a short gap may be one face."""
    boxes = np.stack([mesh_box(before), mesh_box(after)])
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(1)
    shift = np.linalg.norm(np.diff(boxes[:, :2] + boxes[:, 2:], axis=0)) / 2
    return bool(shift <= PLAUSIBLE_SHIFT * sizes.mean() and sizes.max() <= PLAUSIBLE_GROWTH * sizes.min())
