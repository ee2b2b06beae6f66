"""The faces that SyncNet v2 is shown: squares of 224 pixels at 25 frames per second, of everybody in a clip.

The published evaluation detects faces with S3FD and cuts rows y - s .. y + 1.8 s and columns x - 1.4 s .. x + 1.4 s
around a box with the centre (x, y) and half of its longer side s, all three median-filtered over 13 frames (REFERENCE
section 1, "Sync networks"; margin 0.40). Here the box is the one around the tracked mesh, forehead to chin and cheek to
cheek: the face as WIDER FACE, on which S3FD was trained, draws its boxes.

Two rules cut it. "mesh" places the square to a fraction of a pixel and filters a large face before it shrinks it.
"s3fd" does what the published scripts do: whole pixels, no such filter, a median that takes what lies before and behind
the track for zeros. Scores by different rules are not comparable; those by "s3fd" come nearest to published ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import median_filter

from ..errors import LatentSyncError
from ..faces import FaceTrack
from ..faces.pictures import picture_tensor
from ..faces.resample import image_from_planes, prefilter_scale, resized_affine, sample_bilinear
from ..intervals import runs_of
from ..media import is_variable
from ..models.syncnet.sync_net_v2 import CROP_SIZE
from ..options import EVALUATION_CROPS
from ..pipeline.timeline import Timeline, plan_timeline

EVALUATION_FPS = Fraction(25)  # frames per second, of SyncNet v2's training
FEWEST_FRAMES = 50  # at 25 per second: shorter tracks are not scored, as in LatentSync's evaluation
MARGIN = 0.40  # of the box's longer side, beyond it on three sides; on the upper side the box itself ends the crop
SIDE = 2 * (1 + MARGIN)  # of the crop, in halves of the box's longer side
MEDIAN_FRAMES = 13
PAD_LEVEL = 110  # beyond the frame


@dataclass(frozen=True, eq=False)
class EvaluationTrack:
    """One face in consecutive frames at 25 per second, without a cut or a gap.

    person: index into the tracks that were planned. first: its first frame, counted at 25 per second.
    boxes: (n, 3) float64, x and y of the box's centre and half of its longer side, in pixels, median-filtered.
    """

    person: int
    first: int
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False)
class EvaluationPlan:
    """Which pictures of a clip are shown to SyncNet, and what is cut from them.

    tracks: of everybody. frames: at 25 per second, those that belong to any track, in order. sources: the source frame
    that each of them shows. crop: the rule, one of EVALUATION_CROPS.
    """

    tracks: tuple[EvaluationTrack, ...]
    frames: tuple[int, ...]
    sources: tuple[int, ...]
    crop: str


def plan_evaluation(
    tracks: Sequence[FaceTrack], times: Sequence[Fraction], fps: Fraction, crop: str = "mesh"
) -> EvaluationPlan:
    """Find the tracks of at least 50 frames at 25 per second in a clip of any rate.

    tracks: of everybody over all source frames. times: seconds at which each of these is shown; fps: their rate.
    crop: one of EVALUATION_CROPS. Raises LatentSyncError for another, and where no face is in sight for that long.
    """
    if crop not in EVALUATION_CROPS:
        raise LatentSyncError(f"The crop {crop!r} is unknown; choose one of {', '.join(EVALUATION_CROPS)}.")
    timeline = at_evaluation_rate(times, fps)
    shown = np.array(timeline.source)
    found, longest = [], 0
    for person, track in enumerate(tracks):
        for start, stop in runs_of(track.present[shown], timeline.breaks(track.cuts)):
            longest = max(longest, stop - start)
            if stop - start >= FEWEST_FRAMES:
                boxes = track.boxes[shown[start:stop]].astype(np.float64)
                found.append(EvaluationTrack(person, start, smoothed_boxes(boxes, crop)))
    if not found:
        raise LatentSyncError(
            f"No face is in sight for {FEWEST_FRAMES / EVALUATION_FPS} s without a cut or a gap (the longest time is "
            f"{float(longest / EVALUATION_FPS):.2f} s), and SyncNet judges nothing shorter; take a longer clip."
        )
    frames = sorted({track.first + i for track in found for i in range(len(track))})
    return EvaluationPlan(tuple(found), tuple(frames), tuple(shown[frames].tolist()), crop)


def at_evaluation_rate(times: Sequence[Fraction], fps: Fraction) -> Timeline:
    """The source frame on screen at each instant 0, 1/25, 2/25 ... of a clip; every one of a clip at 25 anyway."""
    rate = None if fps == EVALUATION_FPS and not is_variable(times, fps) else EVALUATION_FPS
    return plan_timeline(times, fps, Fraction(0), length="video", rate=rate)


def smoothed_boxes(boxes: np.ndarray, crop: str) -> np.ndarray:
    """Boxes x0, y0, x1, y1 (n, 4) of one track -> centre x, y and half of the longer side (n, 3), median-filtered."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    mode = "constant" if crop == "s3fd" else "nearest"
    return median_filter(np.concatenate([middle, half], 1), (MEDIAN_FRAMES, 1), mode=mode)


def evaluation_crop(image: np.ndarray, box: np.ndarray, crop: str = "mesh") -> np.ndarray:
    """One face as SyncNet v2 takes it.

    image: uint8 RGB (H, W, 3). box: (3,) of EvaluationTrack. Returns uint8 BGR (224, 224, 3), grey (110) beyond the
    frame.
    """
    x, y, half = (float(value) for value in box)
    cut = whole_pixel_crop if crop == "s3fd" else sub_pixel_crop
    return cut(image, x - SIDE / 2 * half, y - half, SIDE * half)[..., ::-1]


def whole_pixel_crop(image: np.ndarray, left: float, top: float, side: float) -> np.ndarray:
    """The square cut as the published scripts do: its edges cut down to whole pixels, then a bilinear resize."""
    edges = (int(np.floor(edge)) for edge in (left, top, left + side, top + side))
    planes = picture_tensor(padded_region(image, *edges)).float()
    resized = F.interpolate(planes[None], (CROP_SIZE, CROP_SIZE), mode="bilinear", align_corners=False)[0]
    return image_from_planes(resized.round_().to(torch.uint8))


def sub_pixel_crop(image: np.ndarray, left: float, top: float, side: float) -> np.ndarray:
    """The square cut between pixels, bilinearly, after an antialias filter where it shrinks much.

    left, top, side: pixels, (0, 0) being the middle of the upper left one.
    """
    step = side / CROP_SIZE
    margin = int(step) + 2  # so that both filters have pixels beyond the edges
    low = (int(np.floor(left)) - margin, int(np.floor(top)) - margin)
    high = (int(np.ceil(left + side)) + margin, int(np.ceil(top + side)) + margin)
    planes = picture_tensor(padded_region(image, *low, *high))
    to_region = np.array([[step, 0, left + step / 2 - low[0]], [0, step, top + step / 2 - low[1]]])
    shrink = prefilter_scale(1 / step)
    if shrink < 1:
        source = (planes.shape[1], planes.shape[2])
        target = (round(source[0] * shrink), round(source[1] * shrink))
        planes = F.interpolate(planes[None], target, mode="bilinear", antialias=True)[0]
        resized = resized_affine(source, target)
        to_region = resized[:, :2] @ to_region + np.pad(resized[:, 2:], ((0, 0), (2, 0)))
    axis = torch.arange(CROP_SIZE, dtype=torch.float64)
    x = (to_region[0, 0] * axis + to_region[0, 2]).float().expand(CROP_SIZE, CROP_SIZE)
    y = (to_region[1, 1] * axis + to_region[1, 2]).float()[:, None].expand(CROP_SIZE, CROP_SIZE)
    return image_from_planes(sample_bilinear(planes.float(), x, y, padding="border").round_().to(torch.uint8))


def padded_region(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Rows top to bottom and columns left to right of an image (H, W, 3), grey where they lie beyond it."""
    height, width = image.shape[:2]
    region = np.full((bottom - top, right - left, 3), PAD_LEVEL, np.uint8)
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        region[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[rows, columns]
    return region
