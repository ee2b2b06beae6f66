"""What is pasted where: the strength belongs to the output frame, however often its picture is shown."""

from fractions import Fraction

import numpy as np
import torch

from latentsync_core.faces import MouthMasks, Seam
from latentsync_core.generators.aligned_faces import AlignedFaces, Alignment
from latentsync_core.media import ImageReader
from latentsync_core.pipeline.composite import composite


def test_a_picture_shown_twice_takes_each_moments_own_strength():
    grey = torch.full((1, 256, 256, 3), 0.5)
    alignment = Alignment(np.array([[[1.0, 0, 0], [0, 1.0, 0]]], np.float32), 256)
    masks = MouthMasks(256, Seam(color_match="off"))
    strength = np.array([1.0, 0.5, 0.0, 1.0])
    with ImageReader(grey, Fraction(25)) as reader:
        frames = list(reader.frames_at([0, 0, 0, 0]))
        faces = iter([(place, torch.ones(3, 256, 256)) for place in range(3)])
        shown = list(composite(frames, faces, AlignedFaces(alignment, masks), strength))
        full, half = (int(c.picture.to_ndarray(format="rgb24")[190, 128, 0]) for c in shown[:2])
    assert full > 250 and abs(half - (128 + 255) / 2) < 5
    assert [c.synced for c in shown] == [True, True, False, False]
