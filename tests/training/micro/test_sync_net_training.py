"""The trainer of the tests' SyncNet: pairs belong together, the loss wants them near, and its file loads."""

import json

import numpy as np
import pytest
import torch

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.syncnet import load_sync_net_v2
from latentsync_core.scoring import mfcc
from latentsync_core.training.micro.sync_net import (
    WIDTHS,
    SyncClip,
    SyncNetRecipe,
    batch,
    contrastive_loss,
    train_sync_net,
)

TINY = SyncNetRecipe(clips=1, seconds=2.4, steps=2, groups=1, windows=4, measured_clips=1)


def test_pictures_and_sound_of_a_batch_belong_together():
    """Every picture of this clip is as bright as its number."""
    rng = np.random.default_rng(0)
    crops = np.zeros((60, 224, 224, 3), np.uint8) + np.arange(1, 61, dtype=np.uint8)[:, None, None, None]
    clip = SyncClip(crops, rng.integers(-9000, 9000, 60 * 640).astype(np.int16))
    lips, voice = batch([clip], SyncNetRecipe(groups=2, windows=5), rng)
    assert lips.shape == (10, 3, 5, 224, 224) and voice.shape == (10, 1, 13, 20)
    ratio = (lips[:, 0, 1, 0, 0] / lips[:, 0, 0, 0, 0]).double().numpy()  # the clip's gain falls out
    numbers = np.round(1 / (ratio - 1)).astype(int) - 1
    assert len(set(numbers[:5])) == 5
    steps = mfcc(clip.pcm)
    for number, heard in zip(numbers, voice, strict=True):
        np.testing.assert_array_equal(heard[0, 1:].numpy(), steps[1:, 4 * number : 4 * number + 20])


def test_the_loss_is_least_where_partners_are_near():
    lips = 5 * torch.eye(6)
    assert contrastive_loss(lips, lips) < 1e-6
    assert contrastive_loss(lips, lips.roll(1, 0)) > 10
    assert contrastive_loss(torch.zeros(6, 6), torch.zeros(6, 6)).item() == pytest.approx(np.log(6))


@pytest.mark.long
def test_a_trained_network_loads_with_its_record(tmp_path):
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    try:
        numbers = train_sync_net(tmp_path / "sync_net.safetensors", TINY)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    assert load_sync_net_v2(tmp_path / "sync_net.safetensors").config == WIDTHS
    about = json.loads((tmp_path / "sync_net.json").read_text())
    assert about["measured"] == numbers and about["recipe"]["seed"] == TINY.seed
    assert [entry["step"] for entry in about["history"]] == [0, 1]
