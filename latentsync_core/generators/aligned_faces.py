"""Faces aligned to a template by a similarity transform, as LatentSync sees them, and pasted by the mouth's mask."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from torch import Tensor

from ..faces import (
    FaceTrack,
    MouthMasks,
    composite_crop,
    crop_face,
    fixed_mask,
    match_color,
    mouth_masks,
    paste_region,
    soft_mask,
)
from ..media import Frame, apply_edit
from ..settings import Settings
from .face_crops import Composited, face_of
from .face_latents import pixels_of

KEPT_BYTES = 32 * 2**20  # of crops between cropping and pasting: a segment's at 256 pixels


@dataclass(frozen=True)
class Alignment:
    """How every face of a clip is cut out of its frame.

    matrices: (N, 2, 3) from frame to crop by source frame, NaN where there is no face. resolution: of the crop in
    pixels. antialias: whether large faces are prefiltered before they are shrunk; the reference does not.
    """

    matrices: np.ndarray
    resolution: int
    antialias: bool = False

    def crop(self, frame: Frame) -> np.ndarray:
        """The face of a source frame: uint8 (r, r, 3)."""
        image, matrix, _, _ = face_of(frame, self.matrices[frame.index], self.resolution)
        return crop_face(image, matrix, self.resolution, self.antialias)

    def crops(self, frames: Iterable[Frame]) -> Iterator[tuple[int, np.ndarray]]:
        """(source frame, crop) of each of some frames, as they come."""
        return ((frame.index, self.crop(frame)) for frame in frames)

    def digest(self, frames: list[int]) -> str:
        """What the crops of some source frames depend on beside the video, as hexadecimal digits."""
        matrices = np.ascontiguousarray(self.matrices[frames])
        return hashlib.sha256(f"{self.resolution} {self.antialias} ".encode() + matrices.tobytes()).hexdigest()


class CropsToPaste:
    """The crops the generator was given, until their frames come to be pasted: at most 32 MiB of them.

    Filled and emptied by two threads, both in the order in which frames are first shown.
    """

    def __init__(self):
        self._crops: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["CropsToPaste"], tuple[()]]:
        """Another process crops for itself, and begins with none."""
        return CropsToPaste, ()

    def put(self, index: int, crop: np.ndarray) -> None:
        """Keep the crop of a source frame if there is room."""
        with self._lock:
            if (len(self._crops) + 1) * crop.nbytes <= KEPT_BYTES:
                self._crops[index] = crop

    def take(self, index: int) -> np.ndarray | None:
        """The crop of a source frame, None where there is none; those put before it are passed by and go."""
        with self._lock:
            if index not in self._crops:
                return None
            passed = list(self._crops)
            for earlier in passed[: passed.index(index)]:
                del self._crops[earlier]
            return self._crops.pop(index)


@dataclass(frozen=True)
class AlignedFaces:
    """The `FaceCrops` of an alignment.

    masks: what is taken of a face in every frame, and how its colours are matched. blend: "mouth" takes only the
    redrawn lower face, feathered, and leaves eyes and nose the frame's own pixels; "reference" pastes the whole crop,
    with the kept part of it resampled, as published, and obeys the masks' limit alone.
    """

    alignment: Alignment
    masks: MouthMasks
    blend: str = "mouth"
    kept: CropsToPaste = field(default_factory=CropsToPaste, repr=False, compare=False)

    def crop(self, frame: Frame) -> np.ndarray:
        """The face of a source frame: uint8 (r, r, 3)."""
        crop = self.alignment.crop(frame)
        self.kept.put(frame.index, crop)
        return crop

    def paste(self, frame: Frame, generated: Tensor, shown: float = 1.0) -> Composited:
        """Put one generated face (3, r, r) in [-1, 1] into its frame. shown: 0..1, for the mouth blend alone."""
        masks, resolution, antialias = self.masks, self.alignment.resolution, self.alignment.antialias
        matrix = self.alignment.matrices[frame.index]
        image, local, left, top = face_of(frame, matrix, resolution)
        crop, mask = self.kept.take(frame.index), fixed_mask(resolution)
        if crop is None:
            crop = crop_face(image, local, resolution, antialias)
        if self.blend == "mouth":
            face = match_color(generated, crop) if masks.seam.color_match == "ring" else generated
            share = masks.share(frame.index, matrix) * shown
        else:
            face, share = composite_crop(generated[None], pixels_of([crop]), mask)[0], None
        limit = masks.limit_at(frame.index, (left, top, left + image.shape[1], top + image.shape[0]))
        region = paste_region(image, face, local, resolution, antialias, share=share, limit=limit)
        if not region.alpha.size:  # the masks leave nothing of it
            return Composited(frame, frame.picture)
        before = image[region.slices]
        region = replace(region, left=left + region.left, top=top + region.top)
        picture = apply_edit(frame.picture, before, region.pixels, region.left, region.top)
        return Composited(frame, picture, crop, generated, mask, region, matrix, resolution)

    def soft_mask(self, index: int, height: int, width: int) -> np.ndarray:
        """The new mouth's share in every pixel of source frame `index`, which has a face: float32 (height, width)."""
        matrix = self.alignment.matrices[index]
        return soft_mask(matrix, height, width, self.alignment.resolution, self.masks.share(index, matrix))

    def digest(self, frames: list[int]) -> str:
        """What the crops of some source frames depend on beside the video, as hexadecimal digits."""
        return self.alignment.digest(frames)


def aligned_faces(track: FaceTrack, settings: Settings, limit: np.ndarray | None = None) -> AlignedFaces:
    """The faces of a tracked clip as `settings`, with a working resolution, ask for them.

    limit: as of `faces.mouth_masks`.
    """
    resolution = settings.resolution
    alignment = Alignment(track.matrices(resolution, settings.alignment), resolution, settings.antialias)
    return AlignedFaces(alignment, mouth_masks(track, resolution, settings.seam, limit), settings.blend)
