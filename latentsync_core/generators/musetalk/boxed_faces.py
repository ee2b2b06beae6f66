"""Faces in upright boxes, as MuseTalk sees them, of which the jaw is pasted."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from ...errors import LatentSyncError
from ...faces import (
    Box,
    FaceTrack,
    MouthMasks,
    box_region,
    crop_box,
    jaw_contours,
    jaw_share,
    match_color,
    mouth_masks,
    moved_box,
    paste_box,
    square_crop,
    track_boxes,
    upper_half,
)
from ...media import Frame, apply_edit
from ...options import Seam
from ...settings import Settings
from ..face_crops import Composited


@dataclass(frozen=True)
class BoxedFaces:
    """The `FaceCrops` of a clip's boxes.

    boxes: (N, 4) int64 by source frame, zeros where there is no face. contours: (N, K, 2) of `jaw_contours`. matrices:
    (N, 2, 3), the alignment of the same faces, by which they are shown and measured. masks: of which the limit and the
    match of colours count. side: of the square the network sees, pixels. antialias: whether large faces are prefiltered
    before they are shrunk, fade: whether new ones fade at the border of their box; its own scripts do neither.
    """

    boxes: np.ndarray
    contours: np.ndarray
    matrices: np.ndarray
    masks: MouthMasks
    side: int
    antialias: bool = True
    fade: bool = True

    def crop(self, frame: Frame) -> np.ndarray:
        """The face of a source frame: uint8 (side, side, 3)."""
        image, local, _ = self._box_of(frame)
        return square_crop(crop_box(image, local), self.side, antialias=self.antialias)

    def paste(self, frame: Frame, generated: Tensor, shown: float = 1.0) -> Composited:
        """Put one generated face (3, side, side) in [-1, 1] into its frame. shown: 0..1, how much of it."""
        image, local, (left, top, right, bottom) = self._box_of(frame)
        crop = square_crop(crop_box(image, local), self.side, antialias=self.antialias)
        face = match_color(generated, crop, upper_half, cut_off=0.0) if self.matches_color else generated
        share = jaw_share(self.contours[frame.index] - (left, top), local, fade=self.fade) * shown
        limit = self.masks.limit_at(frame.index, (left, top, right, bottom))
        region = paste_box(image, face, local, share, limit)
        if not region.alpha.size:  # the user's limit leaves nothing of it
            return Composited(frame, frame.picture)
        before = image[region.slices]
        region = replace(region, left=left + region.left, top=top + region.top)
        return Composited(
            frame,
            picture=apply_edit(frame.picture, before, region.pixels, region.left, region.top),
            crop=crop,
            generated=generated,
            mask=upper_half(self.side),
            region=region,
            matrix=self.matrices[frame.index],
            resolution=self.side,
        )

    def soft_mask(self, index: int, height: int, width: int) -> np.ndarray:
        """The new mouth's share in every pixel of source frame `index`, which has a face: float32 (height, width)."""
        left, top, right, bottom = self.boxes[index].tolist()
        x0, y0, x1, y1 = box_region((left, top, right, bottom), height, width)
        mask = np.zeros((height, width), np.float32)
        share = jaw_share(self.contours[index], (left, top, right, bottom), fade=self.fade)
        mask[y0:y1, x0:x1] = share[y0 - top : y1 - top, x0 - left : x1 - left].numpy()
        return mask

    @property
    def matches_color(self) -> bool:
        """Whether new faces take on the colours of the filmed one, as the seam asks; its own scripts do not."""
        return self.fade and self.masks.seam.color_match == "ring"

    def digest(self, frames: list[int]) -> str:
        """What the crops of some source frames depend on beside the video, as hexadecimal digits."""
        about = f"{self.side} {self.antialias} ".encode()
        return hashlib.sha256(about + np.ascontiguousarray(self.boxes[frames]).tobytes()).hexdigest()

    def _box_of(self, frame: Frame) -> tuple[np.ndarray, Box, Box]:
        """The part of a frame inside its box: RGB uint8 (h, w, 3), the box counted from there, and where it lies."""
        left, top, right, bottom = self.boxes[frame.index].tolist()
        box, (height, width) = (left, top, right, bottom), (frame.picture.height, frame.picture.width)
        x0, y0, x1, y1 = box_region(box, height, width)
        x0, y0 = min(x0, width - 1), min(y0, height - 1)  # beside the frame there is no pixel, and one is needed
        visible = (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))
        return frame.rgb_region(visible), moved_box(box, visible[0], visible[1]), visible


def boxed_faces(track: FaceTrack, settings: Settings, release: str, limit: np.ndarray | None = None) -> BoxedFaces:
    """The faces of a tracked clip as `settings`, with a working resolution, ask for them.

    release: "1.0" or "1.5". limit: as of `faces.mouth_masks`. Raises LatentSyncError for a soft edge of another kind.
    """
    refuse_soft_edge(settings.seam)
    side = settings.resolution
    return BoxedFaces(
        boxes=track_boxes(track, release, settings.bbox_shift, settings.alignment),
        contours=jaw_contours(track),
        matrices=track.matrices(side, settings.alignment),
        masks=mouth_masks(track, side, settings.seam, limit),
        side=side,
        antialias=settings.antialias,
        fade=settings.blend != "reference",
    )


def refuse_soft_edge(seam: Seam) -> None:
    """Raise LatentSyncError where feather or growth of the mask were changed: the jaw has a soft edge of its own."""
    default = Seam()
    if (seam.feather, seam.grow) != (default.feather, default.grow):
        raise LatentSyncError(
            f"The generator musetalk has no feather and no grow, yet {seam.feather:g} and {seam.grow:g} were given: "
            f"its mask is the jaw, with a soft edge of its own; leave them out."
        )
