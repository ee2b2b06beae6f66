"""StableSyncNet sees the frames and the sound that belong together, window by window."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from seeded import draw, seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FaceTrack, crop_face
from latentsync_core.faces.face_track import GapFilling
from latentsync_core.models.syncnet import StableSyncNet
from latentsync_core.models.syncnet.mel import syncnet_mel
from latentsync_core.scoring.stable_sync import mel_window, stable_sync
from latentsync_core.scoring.syncnet_crops import plan_evaluation

PCM = (3000 * draw("a sound", 3 * 16_000)).astype(np.int16)
WAVEFORM = torch.from_numpy(PCM.astype(np.float32) / 32768)


@pytest.fixture(scope="module")
def network(golden):
    return seed_weights(StableSyncNet(golden("syncnet_small.json"))).requires_grad_(False)


@pytest.fixture(scope="module")
def clip(golden):
    """Fifty noisy pictures with the face of a real mesh at rest."""
    mesh = golden("astronaut_mesh.npz")["mesh"].astype(np.float32)[:, :3]
    track = FaceTrack.from_meshes(
        np.repeat(mesh[None], 50, 0), np.ones(50), cuts=[], size=(512, 512), filling=GapFilling()
    )
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (512, 512, 3), np.uint8) for _ in range(50)]
    return pictures, track, plan_evaluation([track], [Fraction(i, 25) for i in range(50)], Fraction(25))


@pytest.mark.parametrize("frame", [0, 1, 2, 16, 40, 59, 60, 70, 80])
def test_a_window_hears_what_the_whole_sound_has_there(frame):
    start = int(80 * frame / 25)
    expected = syncnet_mel(WAVEFORM)[:, start : start + 52]
    found = mel_window(PCM, frame)
    assert found.shape == expected.shape and torch.equal(found, expected)


def test_the_score_is_the_mean_over_windows_of_sixteen_frames(network, clip):
    pictures, track, plan = clip
    score = stable_sync(pictures, plan, [track], PCM, network)
    matrices, expected = track.matrices(256, "reference"), []
    for first in (0, 16, 32):
        faces = [crop_face(pictures[i], matrices[i], 256)[128:] for i in range(first, first + 16)]
        video = torch.cat([torch.from_numpy(face).permute(2, 0, 1) for face in faces]).float() / 127.5 - 1
        start = int(80 * first / 25)
        vision, audio = network(video[None], syncnet_mel(WAVEFORM)[None, None, :, start : start + 52])
        expected.append(float((vision * audio).sum()))
    assert score.windows == 3 and score.similarity == pytest.approx(np.mean(expected), abs=1e-5)
    assert score.accuracy == np.mean(np.array(expected) > 0.5)


def test_windows_end_with_the_sound(network, clip):
    pictures, track, plan = clip
    assert stable_sync(pictures, plan, [track], PCM[: 16_000 * 33 // 25], network).windows == 2
    with pytest.raises(LatentSyncError, match=r"The sound lasts 0.30 s and the first 16 frames .* at 0.64 s"):
        stable_sync(pictures, plan, [track], PCM[:4800], network)
