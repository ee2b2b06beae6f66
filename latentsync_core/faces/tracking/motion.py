"""How far a face can move between frames, and which steps only a cut explains; boxes are x0, y0, x1, y1 in pixels."""

from collections import deque

import numpy as np

from ..landmarks import mesh_box

SAME_PLACE = 0.2  # intersection over union of two boxes that may show one face in consecutive frames
NEARBY = 1.5  # distance from the last place, in face sizes, that a face may cover while out of sight
SIMILAR_SIZE = 1.6  # factor
CUT_SHIFT = 0.2  # face sizes from one frame to the next
CUT_GROWTH = 1.1  # factor from one frame to the next
OUTLIER_STEP, OUTLIER_RATIO = 0.08, 3.0  # face sizes between frames, and times the largest step of the few before
OUTLIER_FRAMES = 3


class FaceSteps:
    """How far one face moves from frame to frame, and whether a step is an outlier among those before."""

    def __init__(self):
        self.recent: deque[float] = deque(maxlen=OUTLIER_FRAMES)

    def add_step(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Record the step between two meshes (468, 3) of consecutive frames; whether it is an outlier, as at a cut."""
        size = max(box_sizes(mesh_box(before)[None])[0], 1e-6)
        step = float(np.abs(after[:, :2] - before[:, :2]).mean() / size)
        enough = len(self.recent) == OUTLIER_FRAMES
        is_outlier = enough and step > OUTLIER_STEP and step > OUTLIER_RATIO * max(self.recent)
        self.recent.append(step)
        return is_outlier


def is_discontinuous(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a face, by its meshes (468, 3) in two consecutive frames, moved or grew by more than motion explains."""
    boxes = np.stack([mesh_box(before), mesh_box(after)])
    sizes = box_sizes(boxes)
    shift = np.linalg.norm(np.diff(box_middles(boxes), axis=0))
    return bool(shift > CUT_SHIFT * sizes.min() or sizes.max() > CUT_GROWTH * sizes.min())


def box_sizes(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> (K,): the longer side."""
    return (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)


def box_middles(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> (K, 2)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def distances(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, 4), (M, 4) -> (K, M): between the middles, in pixels."""
    return np.linalg.norm(box_middles(boxes)[:, None] - box_middles(others)[None], axis=-1)


def shift_of(before: np.ndarray, after: np.ndarray) -> float:
    """How far a face moved from one box (4,) to another, in sizes of the first."""
    return float(distances(before[None], after[None])[0, 0] / max(box_sizes(before[None])[0], 1e-6))


def is_near(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, 4), (M, 4) -> (K, M) bool: could a face of the one box have moved to the other within a few frames?"""
    sizes, other_sizes = box_sizes(boxes)[:, None], box_sizes(others)[None]
    ratio = np.maximum(sizes, other_sizes) / np.maximum(np.minimum(sizes, other_sizes), 1e-6)
    return (distances(boxes, others) <= NEARBY * other_sizes) & (ratio <= SIMILAR_SIZE)
