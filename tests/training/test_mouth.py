"""The lip gap measured in aligned crops is the drawn one."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import crop_face, track_faces
from latentsync_core.faces.landmarks import MeshFitter
from latentsync_core.faces.mouth_opening import correlation
from latentsync_core.training.mouth import lip_gaps
from latentsync_core.training.synthetic.clips import ClipRecipe, synthetic_clips


@pytest.mark.long
def test_gaps_in_crops_follow_the_drawn_mouth():
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    try:
        clip = next(synthetic_clips(ClipRecipe(seconds=1.6), 1))
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    matrices = track_faces(iter(clip.frames)).matrices(128)
    crops = np.stack([crop_face(frame, matrix, 128, True) for frame, matrix in zip(clip.frames, matrices, strict=True)])
    found = lip_gaps(crops, MeshFitter())
    assert correlation(found, clip.opening) > 0.9
    assert np.abs(found - clip.opening).mean() < 0.05


def test_a_picture_without_a_face_has_no_gap():
    assert np.isnan(lip_gaps(np.full((1, 128, 128, 3), 90, np.uint8), MeshFitter())).all()


def test_correlation_ignores_unknown_frames():
    known = np.array([0.0, 1.0, 2.0, 3.0])
    assert correlation(np.append(2 * known, np.nan), np.append(known, 9.0)) == pytest.approx(1)
    assert np.isnan(correlation(known, np.ones(4)))
