"""A crop that the generator was given is pasted over without being taken again, and nothing changes by that."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.faces import MouthMasks, Seam
from latentsync_core.generators import aligned_faces
from latentsync_core.generators.aligned_faces import AlignedFaces, Alignment, CropsToPaste
from latentsync_core.media import ImageReader

RESOLUTION = 64
MATRIX = np.array([[1.1, 0.1, -5], [-0.1, 1.1, 3]], np.float32)


@pytest.fixture
def frames() -> list:
    """Two different frames of noise."""
    noise = torch.rand(2, 96, 96, 3, generator=torch.Generator().manual_seed(0))
    with ImageReader(noise, Fraction(25)) as reader:
        return list(reader.frames())


def faces_of(frames: list) -> AlignedFaces:
    alignment = Alignment(np.stack([MATRIX] * len(frames)), RESOLUTION, antialias=True)
    return AlignedFaces(alignment, MouthMasks(RESOLUTION, Seam()))


def test_a_kept_crop_is_pasted_once_and_the_picture_is_the_same(frames):
    fresh, used, generated = faces_of(frames), faces_of(frames), torch.zeros(3, RESOLUTION, RESOLUTION)
    crops = [used.crop(frame) for frame in frames]
    for crop, frame in zip(crops, frames, strict=True):
        first, again, expected = (faces.paste(frame, generated) for faces in (used, used, fresh))
        assert first.crop is crop and again.crop is not crop
        for pasted in (first, again):
            np.testing.assert_array_equal(pasted.crop, expected.crop)
            np.testing.assert_array_equal(pasted.picture.to_ndarray(), expected.picture.to_ndarray())


def test_crops_are_kept_in_bounds_and_those_passed_by_go(monkeypatch):
    crops = [np.full((4, 4, 3), index, np.uint8) for index in range(4)]
    monkeypatch.setattr(aligned_faces, "KEPT_BYTES", 3 * crops[0].nbytes)
    kept = CropsToPaste()
    for index, crop in enumerate(crops):
        kept.put(index, crop)
    assert kept.take(3) is None, "the fourth had no room"
    assert kept.take(1) is crops[1] and kept.take(0) is None, "the first was passed by"
    kept.put(3, crops[3])
    assert kept.take(2) is crops[2] and kept.take(3) is crops[3]


def test_another_process_is_sent_the_faces_without_their_crops(frames):
    faces = faces_of(frames)
    faces.crop(frames[0])
    sent = pickle.loads(pickle.dumps(faces))
    assert faces.kept.take(0) is not None and sent.kept.take(0) is None
    np.testing.assert_array_equal(sent.crop(frames[1]), faces.crop(frames[1]))
