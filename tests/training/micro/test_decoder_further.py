"""The decoder's further training: latents keep their meaning, most weight lies on the lips, and the file loads."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import embedded_vae
from latentsync_core.models.vae import load_vae
from latentsync_core.training.micro.decoder_further import (
    LIP_BOX,
    DecoderRecipe,
    lip_weights,
    prepared_faces,
    train_decoder_further,
)

SIDE = 128


@pytest.fixture
def clips(tmp_path):
    """Two prepared clips of four frames, the second held out, one frame without a face."""
    torch.manual_seed(0)
    for number, name in enumerate(("0000", "unheard-0072")):
        crops = torch.randint(1, 255, (4, SIDE, SIDE, 3), dtype=torch.uint8)
        crops[2] = 0
        save_file({"crops": crops}, tmp_path / f"{name}-faces-a.safetensors")
        save_file({"mean": torch.full((4, 4, 16, 16), float(number))}, tmp_path / f"{name}-latents-b.safetensors")
    return tmp_path


def test_frames_without_a_face_and_held_out_clips_are_left_out(clips):
    crops, latents = prepared_faces(clips, 1)
    assert crops.shape == (3, SIDE, SIDE, 3) and latents.shape == (3, 4, 16, 16) and not latents.any()
    assert len(prepared_faces(clips, 3)[0]) == 2
    with pytest.raises(LatentSyncError, match=r"holds no prepared clips; name data\.cache"):
        prepared_faces(clips / "elsewhere", 1)


def test_the_weight_is_greatest_at_the_lips_and_least_where_the_source_stays():
    weights = lip_weights()[0, 0]
    top, bottom, left, right = (round(edge * SIDE) for edge in LIP_BOX)
    inside = weights[(top + bottom) // 2, (left + right) // 2]
    assert weights.mean() == pytest.approx(1) and inside == weights.max() and weights[4, 4] < inside / 40


@pytest.mark.long
def test_only_the_decoder_changes(clips, tmp_path):
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    path = tmp_path / "vae.safetensors"
    numbers = train_decoder_further(path, clips, DecoderRecipe(frame_step=1, steps=2, batch=2), measured_clips=1)
    before, after = embedded_vae().state_dict(), load_vae(path).state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["measured"] == numbers and about["started_from"] and len(about["history"]) == 2
