"""How a generator's faces are cut out of their frames and put back: the protocol, and what comes of it."""

from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from torch import Tensor

from ..faces import PastedRegion, face_region, shifted_matrix
from ..media import Frame


@dataclass(frozen=True)
class Composited:
    """One output frame: the picture to write, and for a synced frame what it was made of.

    picture: native format. crop: the source face (h, w, 3) uint8 as the generator saw it. generated: its new face
    (3, h, w) in [-1, 1]. mask: (h, w) float32, 1 = not redrawn. region: what was pasted. matrix: the alignment (2, 3)
    from the frame to the aligned crop of `resolution` pixels, whatever the generator's own crop is. These six are None
    for a frame that passed untouched. seconds: when the frame is shown, once it has its place in the output.
    """

    frame: Frame
    picture: av.VideoFrame
    crop: np.ndarray | None = None
    generated: Tensor | None = None
    mask: Tensor | None = None
    region: PastedRegion | None = None
    matrix: np.ndarray | None = None
    resolution: int | None = None
    seconds: float | None = None

    @property
    def synced(self) -> bool:
        """Whether a generated face was pasted."""
        return self.region is not None


class FaceCrops(Protocol):
    """Where the faces of a clip are in its source frames, in the shape one generator works on."""

    def crop(self, frame: Frame) -> np.ndarray:
        """The face of a source frame: uint8 RGB (h, w, 3)."""

    def paste(self, frame: Frame, generated: Tensor, shown: float = 1.0) -> Composited:
        """Put a generated face (3, h, w) in [-1, 1] into its frame.

        Outside the soft mask every sample of every plane stays the source's. shown: 0..1, how much of the mouth.
        """

    def digest(self, frames: list[int]) -> str:
        """What the crops of some source frames depend on beside the video, as hexadecimal digits."""


def face_of(frame: Frame, matrix: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The part of a frame around its face: RGB uint8 (h, w, 3), the matrix for it, and its left and top in pixels.

    A face is a small part of most frames, and converting a whole one costs more than all else done to it.
    """
    height, width = frame.picture.height, frame.picture.width
    left, top, right, bottom = face_region(matrix, height, width, resolution)
    return frame.rgb_region((left, top, right, bottom)), shifted_matrix(matrix, left, top), left, top
