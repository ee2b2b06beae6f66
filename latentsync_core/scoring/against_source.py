"""A result beside the clip it was made from: what changed in the mouth, and whether anything changed elsewhere."""

from dataclasses import dataclass, field

import numpy as np

from .leak import Leak, leak
from .measured_face import MeasuredFace
from .mouth import identity_distance
from .mouth_score import mouth_score
from .picture import MouthRegion, psnr, ssim

BLOCK = 8  # pixels: over blocks of this side a codec's noise averages out
REPAINTED = 6.0  # grey levels by which a block's mean differs where it was painted over


@dataclass(frozen=True)
class SourceScore:
    """How a result differs from its source, frames paired by time.

    frames: compared. psnr (dB), ssim: of the redrawn region, high where the mouth was left as it was. outside_psnr: of
    all else in the picture, None where it is identical; outside_changed: share of its 8 x 8 blocks whose mean differs
    by more than 6 grey levels: 0 where nothing was painted there, whatever codec wrote it. identity: distance of the
    faces' shapes without the mouth, percent of the eye distance. jitter, flicker, sharpness: the source's own.
    leak: how much the mouth still follows the source's, which counts where the voice says something else.
    """

    frames: int
    psnr: float
    ssim: float
    outside_psnr: float
    outside_changed: float
    identity: float
    jitter: float
    flicker: float
    sharpness: float
    leak: Leak


@dataclass
class SourceComparison:
    """Compares pairs of frames as they come. source: the source's own face, measured."""

    source: MeasuredFace = field(default_factory=MeasuredFace)
    _psnr: list[float] = field(default_factory=list)
    _ssim: list[float] = field(default_factory=list)
    _errors: list[float] = field(default_factory=list)
    _changed: list[float] = field(default_factory=list)

    def add_faces(self, crop: np.ndarray, source_crop: np.ndarray) -> None:
        """Two faces (CROP, CROP, 3) uint8, both aligned as the source's is."""
        rows, columns = np.nonzero(MouthRegion.fixed().inside)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        self._psnr.append(psnr(crop[box], source_crop[box]))
        self._ssim.append(ssim(crop[box], source_crop[box]))

    def add_pictures(self, picture: np.ndarray, source_picture: np.ndarray, face: tuple[int, int, int, int]) -> None:
        """Two whole frames (H, W, 3) uint8, and the box (left, top, right, bottom) in which the face may change."""
        left, top, right, bottom = face
        outside = np.ones(picture.shape[:2], bool)
        outside[max(top, 0) : bottom, max(left, 0) : right] = False
        difference = picture.astype(np.int16) - source_picture
        self._errors.append(float((difference[outside].astype(np.float64) ** 2).mean()) if outside.any() else 0.0)
        self._changed.append(changed_blocks(difference, outside))

    def score(self, face: MeasuredFace) -> SourceScore:
        """What the pairs came to. face: the result's, measured."""
        own, error = mouth_score(self.source, ()), np.mean(self._errors) if self._errors else np.nan
        with np.errstate(divide="ignore"):
            outside_psnr = float(20 * np.log10(255) - 10 * np.log10(error))
        return SourceScore(
            frames=len(self._psnr),
            psnr=float(np.mean(np.minimum(self._psnr, 100.0))) if self._psnr else float("nan"),
            ssim=float(np.mean(self._ssim)) if self._ssim else float("nan"),
            outside_psnr=outside_psnr,
            outside_changed=float(np.mean(self._changed)) if self._changed else float("nan"),
            identity=identity_distance(face.mesh, self.source.mesh),
            jitter=own.jitter,
            flicker=own.flicker,
            sharpness=own.sharpness,
            leak=leak(face.shape.opening[: len(self.source)], self.source.shape.opening),
        )


def changed_blocks(difference: np.ndarray, outside: np.ndarray) -> float:
    """Share of the whole 8 x 8 blocks within `outside` (H, W) in which the mean of a difference (H, W, 3) is large."""
    height, width = (side // BLOCK * BLOCK for side in outside.shape)
    blocks = (height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    whole = outside[:height, :width].reshape(blocks).all(axis=(1, 3))
    means = difference[:height, :width].reshape(*blocks, 3).mean(axis=(1, 3))
    return float((np.abs(means).max(axis=-1) > REPAINTED)[whole].mean()) if whole.any() else 0.0
