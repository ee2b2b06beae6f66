"""Without motion modules and with eight input channels the UNet is MuseTalk's, by name, shape and value."""

import pytest
import torch
from rounding import relative_error
from seeded import draw, seed_weights

from latentsync_core.audio import encode_positions
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig

PUBLISHED = {"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 384}


@pytest.fixture(scope="module")
def small(golden) -> dict:
    """Its narrow configuration; stages of pictures are stages of clips of one frame."""
    config = golden("musetalk_small.json")
    for stages in ("down_block_types", "up_block_types"):
        config[stages] = [name.replace("2D", "3D") for name in config[stages]]
    return {**config, "use_motion_module": False}


def test_full_size_model_has_exactly_the_published_tensors(small, golden):
    with torch.device("meta"):
        model = UNet3DConditionModel(UNetConfig.from_dict({**small, **PUBLISHED}))
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == golden("musetalk_unet_keys.json")


@torch.no_grad()
@pytest.mark.parametrize(("positions", "name"), [("on", "predicted"), ("off", "predicted_without_positions")])
def test_one_step_equals_the_reference(small, golden, positions, name):
    model = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(small))).double()
    latents = torch.from_numpy(draw("musetalk.latents", 6, 8, 8, 8)).double()
    tokens = encode_positions(torch.from_numpy(draw("musetalk.audio", 6, 50, 48)), positions).double()
    found = model(latents[:, :, None], 0, tokens)[:, :, 0]  # each picture a clip of one frame
    assert relative_error(found, golden("musetalk.npz")[name]) < 1e-5  # recorded in float32
