"""Find faces in a frame: BlazeFace on the whole frame, on tiles of it for small faces, or near a known place.

Anchors, decoding and weighted non-maximum suppression follow MediaPipe's face detection graphs.
Pixel coordinates: (0, 0) is the middle of the upper left pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..options import DEFAULT_THRESHOLD
from .networks.blazeface import FullRangeBlazeFace, ShortRangeBlazeFace
from .networks.nets import FaceNets
from .pictures import Picture, Region, part_of, picture_tensor, shrink_picture, single_thread

MAX_LOGIT = 100.0  # score logits are clipped here before the sigmoid
SAME_FACE_OVERLAP = 0.3  # intersection over union above which two boxes show one face
TILE_FRACTIONS = (1.0, 0.5)  # tile side over the frame's short side, tried in this order
TILE_STEP = 2 / 3  # distance of neighbouring tiles over their side: a face up to 1/3 of a tile is whole in one of them
MIN_TILE = 64  # pixels
NEIGHBOURHOOD = 3.0  # side of the square searched around a known face over the longer side of its box
LEFT_EYE, RIGHT_EYE = 0, 1  # keypoints; left in the picture. Then nose, mouth, left and right ear


@dataclass(frozen=True)
class Detections:
    """K faces, best first.

    boxes (K, 4) float32: x0, y0, x1, y1 in pixels, from above the brows to the chin;
    keypoints (K, 6, 2): left eye, right eye, nose tip, mouth, left ear, right ear;
    scores (K,): probabilities; best_score: the highest score of any anchor, also below the threshold.
    """

    boxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    best_score: float = 0.0

    def __len__(self) -> int:
        return len(self.scores)

    def keep(self, rows: np.ndarray) -> "Detections":
        """The faces selected by a mask or by indices."""
        return Detections(self.boxes[rows], self.keypoints[rows], self.scores[rows], self.best_score)


class FaceDetector:
    """BlazeFace with its anchors: frames (H, W, 3) uint8 RGB or native in, faces in frame pixels out."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        threshold: float = DEFAULT_THRESHOLD,
        nets: FaceNets | None = None,
    ):
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}, expected a probability between 0 and 1")
        nets = nets or FaceNets(device)
        self.device = nets.place()
        self.threshold = threshold
        self.full_range, self.short_range = nets.full_range, nets.short_range
        self.anchors = {
            FullRangeBlazeFace: anchor_centres(((48, 1),)),
            ShortRangeBlazeFace: anchor_centres(((16, 2), (8, 6))),
        }

    def detect(self, frame: Picture, tiles: bool = True) -> Detections:
        """Faces anywhere in the frame: those of the first of `passes` that finds any."""
        best = 0.0
        for faces in self.passes(frame, tiles):
            best = max(best, faces.best_score)
            if len(faces):
                return faces
        return no_faces(best)

    def passes(self, frame: Picture, tiles: bool = True) -> Iterator[Detections]:
        """Detections of ever more costly passes over a frame; the caller stops when one is good enough.

        First the full-range network on the whole frame, then the short-range one (a face that fills the frame), then,
        with `tiles`, overlapping tiles at two scales for small faces (about 4 and 20 times the cost of the first).
        """
        for network in (self.full_range, self.short_range):
            yield self._detect_parts(network, [(frame, whole_frame(frame))])[0]
        for fraction in TILE_FRACTIONS if tiles else ():
            regions = tile_regions(frame, fraction)
            if regions:
                yield merge(self._detect_parts(self.full_range, [(frame, region) for region in regions]))

    def detect_near(self, frame: Picture, box: np.ndarray) -> Detections:
        """Faces in a square around a known face's box, at a scale that suits that face."""
        centre, side = (box[:2] + box[2:]) / 2, NEIGHBOURHOOD * max(box[2] - box[0], box[3] - box[1])
        height, width = frame.shape[:2]
        low = np.clip(np.floor(centre - side / 2), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(centre + side / 2), low + 1, (width, height)).astype(int)
        return self._detect_parts(self.full_range, [(frame, (*low, *high))])[0]

    @single_thread()
    @torch.inference_mode()
    def _detect_parts(self, network: torch.nn.Module, parts: list[tuple[Picture, Region]]) -> list[Detections]:
        """Run a network on parts of frames in one batch; the results are in pixels of their frames."""
        placed = [letterbox(frame, region, network.INPUT_SIZE) for frame, region in parts]
        batch = torch.stack([picture for picture, _ in placed]).to(self.device)
        raw, logits = network(batch.contiguous(memory_format=torch.channels_last))
        scores = logits.clamp(-MAX_LOGIT, MAX_LOGIT).sigmoid().cpu().numpy()  # (parts, anchors)
        raw = raw.cpu().numpy()
        anchors = self.anchors[type(network)]
        results = []
        for i, (frame, region) in enumerate(parts):
            candidates = scores[i] >= self.threshold
            points = decode(raw[i][candidates], anchors[candidates], network.INPUT_SIZE)
            points = placed[i][1].to_frame(points)  # (candidates, 8, 2)
            faces = weighted_suppression(points, scores[i][candidates], float(scores[i].max()))
            results.append(faces.keep(~cut_by_region(faces.boxes, region, frame.shape)))
        return results


def anchor_centres(grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Centres (anchors, 2) as fractions of the input, x first; grids: (cells per side, anchors per cell)."""
    centres = []
    for cells, per_cell in grids:
        middles = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middles, middles, indexing="ij")
        centres.append(
            np.repeat(np.stack([x, y], -1).reshape(-1, 2), per_cell, axis=0)
        )  # (cells * cells * per_cell, 2)
    return np.concatenate(centres)


def decode(raw: np.ndarray, anchors: np.ndarray, size: int) -> np.ndarray:
    """Network numbers (n, 16) -> (n, 8, 2) points as fractions of the input: two box corners, six keypoints.

    Anchors have unit size, so that the numbers are pixels of the input relative to the anchor's centre.
    """
    points = raw.reshape(-1, 8, 2) / size  # centre, extent, keypoints
    centre, half = points[:, 0] + anchors, points[:, 1] / 2
    return np.concatenate(
        [centre[:, None] - half[:, None], centre[:, None] + half[:, None], points[:, 2:] + anchors[:, None]], 1
    )


@dataclass(frozen=True)
class Placement:
    """Where a part of a frame lies in a network's square input: frame = offset + fraction * extent, per axis."""

    offset: np.ndarray
    extent: np.ndarray

    def to_frame(self, fractions: np.ndarray) -> np.ndarray:
        """(..., 2) fractions of the input -> frame pixels."""
        return fractions * self.extent + self.offset - 0.5


def letterbox(frame: Picture, region: Region, size: int) -> tuple[torch.Tensor, Placement]:
    """Shrink or enlarge a region into the middle of a black square, keeping its aspect.

    frame (H, W, 3) uint8 -> (3, size, size) float32 in [-1, 1] and its placement in the frame.
    """
    x0, y0, x1, y1 = region
    height, width = y1 - y0, x1 - x0
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    picture = shrink_picture(picture_tensor(part_of(frame, region)), new_height, new_width)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square = torch.full((3, size, size), -1.0)
    square[:, top : top + new_height, left : left + new_width] = picture.float().div_(127.5).sub_(1)
    pixels = np.array([width / new_width, height / new_height], np.float32)  # frame pixels per input pixel
    return square, Placement(np.array([x0, y0], np.float32) - pixels * (left, top), pixels * size)


def whole_frame(frame: Picture) -> Region:
    """The region of a whole frame."""
    return 0, 0, frame.shape[1], frame.shape[0]


def tile_regions(frame: Picture, fraction: float) -> list[Region]:
    """Overlapping squares, `fraction` of the frame's short side wide, that cover the frame."""
    height, width = frame.shape[:2]
    side = int(fraction * min(height, width))
    if side < MIN_TILE or side == max(height, width):
        return []

    def starts(length: int) -> np.ndarray:
        count = 1 + int(np.ceil((length - side) / (TILE_STEP * side)))
        return np.linspace(0, length - side, count).round().astype(int)

    return [(x, y, x + side, y + side) for y in starts(height).tolist() for x in starts(width).tolist()]


def cut_by_region(boxes: np.ndarray, region: Region, shape: tuple[int, ...]) -> np.ndarray:
    """(K,) bool: faces that extend beyond their region inside the frame; another region shows them whole."""
    height, width = shape[:2]
    inner = np.array([region[0] > 0, region[1] > 0, region[2] < width, region[3] < height])
    outside = np.stack(
        [boxes[:, 0] < region[0], boxes[:, 1] < region[1], boxes[:, 2] > region[2], boxes[:, 3] > region[3]], 1
    )
    return (outside & inner).any(1)


def weighted_suppression(points: np.ndarray, scores: np.ndarray, best_score: float) -> Detections:
    """Merge overlapping candidates into their score-weighted mean (BlazeFace section 3.4); steadier than picking one.

    points (n, 8, 2): box corners and keypoints; scores (n,).
    """
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    left = np.ones(len(scores), bool)
    faces, face_scores = [], []
    while left.any():
        best = int(left.argmax())
        same = left & (overlap(points[best, :2].ravel(), points[:, :2].reshape(-1, 4)) > SAME_FACE_OVERLAP)
        same[best] = True
        faces.append(np.average(points[same], axis=0, weights=scores[same]))
        face_scores.append(scores[best])
        left &= ~same
    if not faces:
        return no_faces(best_score)
    merged = np.stack(faces).astype(np.float32)
    return Detections(merged[:, :2].reshape(-1, 4), merged[:, 2:], np.array(face_scores, np.float32), best_score)


def merge(parts: list[Detections]) -> Detections:
    """The faces of overlapping regions as one list: of several views of a face the one with the highest score."""
    every = Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.keypoints for p in parts]),
        np.concatenate([p.scores for p in parts]),
        max(p.best_score for p in parts),
    )
    kept: list[int] = []
    for i in np.argsort(-every.scores, kind="stable").tolist():
        if not kept or overlap(every.boxes[i], every.boxes[kept]).max() <= SAME_FACE_OVERLAP:
            kept.append(i)
    return every.keep(np.array(kept, int))


def no_faces(best_score: float) -> Detections:
    """An empty result with the best score found."""
    return Detections(
        np.zeros((0, 4), np.float32), np.zeros((0, 6, 2), np.float32), np.zeros(0, np.float32), best_score
    )


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with each of (K, 4) -> (K,)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return common / np.maximum(areas - common, 1e-9)
