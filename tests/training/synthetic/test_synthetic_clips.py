"""Whole clips: voice, frames and ground truth are in sync, in memory and in files."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import track_faces
from latentsync_core.faces.mouth_opening import mouth_opening
from latentsync_core.media import VideoReader, read_waveform
from latentsync_core.training.synthetic.clips import ClipRecipe, synthetic_clips, write_clip

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")


@pytest.fixture(scope="module")
def clip():
    try:
        return next(synthetic_clips(ClipRecipe(seed=7, seconds=2.0), 1))
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def test_face_mesh_follows_the_truth_without_lag(clip):
    found = mouth_opening(track_faces(clip.frames).mesh)
    inner = slice(2, -2)
    at = [np.corrcoef(np.roll(found, -lag)[inner], clip.opening[inner])[0, 1] for lag in (-2, -1, 0, 1, 2)]
    assert max(at) == at[2] > 0.95


def test_a_clip_is_its_recipe(clip):
    again = next(synthetic_clips(ClipRecipe(seed=7, seconds=2.0), 1))
    other = next(synthetic_clips(ClipRecipe(seed=7, seconds=2.0), 1, first=1))
    assert clip.voice == again.voice and clip.frames.shape == other.frames.shape == (50, 256, 256, 3)
    np.testing.assert_allclose(clip.opening, again.opening, atol=0.03)  # espeak-ng never resets its own noise
    assert not np.array_equal(clip.frames, other.frames)


def test_written_clips_hold_voice_and_frames_in_sync(clip, tmp_path):
    write_clip(clip, tmp_path / "clip.mp4")
    with VideoReader(tmp_path / "clip.mp4") as reader:
        pictures = [frame.picture.to_ndarray(format="rgb24") for frame in reader.frames()]
        assert reader.info.fps == 25 and reader.info.has_audio
    assert np.abs(np.stack(pictures).astype(int) - clip.frames).mean() < 4
    np.testing.assert_allclose(read_waveform(tmp_path / "clip.wav"), clip.speech.waveform, atol=1e-4)
    truth = np.load(tmp_path / "clip.npz")
    np.testing.assert_array_equal(truth["opening"], clip.opening)
