"""Where the draft draws: the part of each frame that moving lips and jaw can change, at the frame's own resolution."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...faces import FaceTrack, MouthMasks, PastedRegion, box_region
from ...faces.soft_edge import nonzero_part
from ...media import Frame, apply_edit
from ..face_crops import Composited
from .face_plane import face_planes
from .filmed_face import FilmedFace, face_box

ALIGNED = 256  # resolution of the alignment by which the faces are shown and measured
LEVELS = 127.5  # grey levels from -1 to 0


@dataclass(frozen=True, eq=False)
class MovedFaces:
    """The `FaceCrops` of a draft: whole pixels of the frame, of which those that changed go back.

    mesh: (N, 468, 3) pixels, planes: (N, 2, 3), see face_plane.py, by source frame. matrices: (N, 2, 3), the alignment
    of the same faces. masks: of which the limit counts.
    """

    mesh: np.ndarray
    planes: np.ndarray
    matrices: np.ndarray
    masks: MouthMasks

    def face(self, frame: Frame) -> FilmedFace:
        """The face of a source frame as it was filmed."""
        box = self._visible_box(frame)
        return FilmedFace.cut(frame.rgb_region(box), box, self.mesh[frame.index], self.planes[frame.index])

    def crop(self, frame: Frame) -> np.ndarray:
        """The pixels of the same: uint8 (h, w, 3)."""
        return frame.rgb_region(self._visible_box(frame))

    def paste(self, frame: Frame, generated: Tensor, shown: float = 1.0) -> Composited:
        """Put a drawn face (3, h, w) in [-1, 1] back; a pixel that is the filmed one stays so.

        shown: nothing is cross-faded by it, as two mouths over one another look torn: it was drawn with the mouth only
        so far on its way.
        """
        left, top, right, bottom = self._visible_box(frame)
        before = frame.rgb_region((left, top, right, bottom))
        after = ((generated.permute(1, 2, 0) + 1) * LEVELS).round().clamp(0, 255).numpy()
        share = (after != before).any(-1).astype(np.float32)
        limit = self.masks.limit_at(frame.index, (left, top, right, bottom))
        if limit is not None:
            share = share * limit
        rows, columns = nonzero_part(torch.from_numpy(share))
        if rows.start == rows.stop:
            return Composited(frame, frame.picture)
        share, filmed = share[rows, columns], before[rows, columns]
        pixels = (filmed + share[..., None] * (after[rows, columns] - filmed)).round().astype(np.uint8)
        region = PastedRegion(left + columns.start, top + rows.start, pixels, share)
        return Composited(
            frame,
            picture=apply_edit(frame.picture, filmed, pixels, region.left, region.top),
            crop=before,
            generated=generated,
            mask=torch.from_numpy((after == before).all(-1)).float(),
            region=region,
            matrix=self.matrices[frame.index],
            resolution=ALIGNED,
        )

    def digest(self, frames: list[int]) -> str:
        """What the crops of some source frames depend on beside the video, as hexadecimal digits."""
        about = np.ascontiguousarray(self.mesh[frames]).tobytes() + np.ascontiguousarray(self.planes[frames]).tobytes()
        return hashlib.sha256(about).hexdigest()

    def _visible_box(self, frame: Frame) -> tuple[int, int, int, int]:
        """left, top, right, bottom inside the frame, at least one pixel large."""
        height, width = frame.picture.height, frame.picture.width
        box = face_box(self.mesh[frame.index], self.planes[frame.index])
        left, top, right, bottom = box_region(box, height, width)
        left, top = min(left, width - 1), min(top, height - 1)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def moved_faces(track: FaceTrack, masks: MouthMasks) -> MovedFaces:
    """The faces of a tracked clip. masks: whose limit says where the frames may change."""
    return MovedFaces(
        mesh=track.mesh,
        planes=face_planes(track.mesh, track.cuts),
        matrices=track.matrices(ALIGNED),
        masks=masks,
    )
