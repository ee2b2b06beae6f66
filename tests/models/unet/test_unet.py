"""The UNet equals the published checkpoints by name and shape, and the reference network in value."""

import copy

import pytest
import torch
from rounding import exact_result, relative_error, rounding_bound
from seeded import draw, seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig


@pytest.fixture(scope="module")
def small_unet(golden):
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json"))))


@pytest.fixture(scope="module")
def inputs():
    sample = torch.from_numpy(draw("unet.sample", 2, 13, 16, 8, 8))
    return sample, torch.from_numpy(draw("unet.audio", 32, 50, 48))


@pytest.fixture(scope="module")
def exact_unet(golden):
    """The same network in float64, where a comparison says nothing of the processor."""
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json")))).double()


def test_full_size_model_has_exactly_the_published_tensors(golden):
    with torch.device("meta"):
        model = UNet3DConditionModel(UNetConfig())
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == golden("unet_keys.json")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1267.1e6, rel=1e-4)


@torch.no_grad()
def test_forward_equals_the_reference(exact_unet, inputs, golden):
    sample, audio = (value.double() for value in inputs)
    expected = golden("unet_small.npz")  # recorded in float32
    assert relative_error(exact_unet(sample, 951, audio), expected["t951"]) < 1e-5
    assert relative_error(exact_unet(sample[:1, :, :5], 1, audio[:5]), expected["t1"]) < 1e-5


@torch.no_grad()
def test_a_batch_is_its_samples_side_by_side(exact_unet, inputs):
    sample, audio = inputs[0][:, :, :4].double(), inputs[1][:8].double()
    together = exact_unet(sample, torch.tensor([500, 20]), audio)
    alone = torch.cat([exact_unet(sample[:1], 500, audio[:4]), exact_unet(sample[1:], 20, audio[4:])])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_voice_changes_the_prediction_of_its_own_frame_most(small_unet, inputs):
    sample, audio = inputs
    other = audio.clone()
    other[7] = 0
    change = (small_unet(sample[:1], 500, other[:16]) - small_unet(sample[:1], 500, audio[:16])).abs()
    per_frame = change.mean(dim=(0, 1, 3, 4))
    assert per_frame.argmax() == 7 and per_frame[0] > 0


def predict(unet: torch.nn.Module, sample: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
    return unet(sample, 951, audio)


@pytest.fixture(scope="module")
def exact(small_unet):
    """A window whose deepest pictures are 2 x 2, as norms need to be well conditioned, and its exact prediction."""
    window = torch.from_numpy(draw("unet.sample", 1, 13, 4, 16, 16)), torch.from_numpy(draw("unet.audio", 4, 50, 48))
    return window, exact_result(predict, small_unet, *window)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_is_off_by_its_rounding_only(small_unet, exact, dtype):
    window, expected = exact
    bound = rounding_bound(predict, small_unet, *window, exact=expected, dtype=dtype)
    found = predict(copy.deepcopy(small_unet).to(dtype), *(value.to(dtype) for value in window))
    assert found.dtype == dtype and relative_error(found, expected) < bound
    # 32 are measured, so that the bound says something; a magnifying network would let any fault pass.
    assert bound < 64 * torch.finfo(dtype).eps


@torch.no_grad()
def test_host_operations_and_attention_are_used(golden, inputs):
    calls = {"linear": 0, "attention": 0}

    class Operations(torch.nn.Module):
        Conv2d, GroupNorm, LayerNorm = torch.nn.Conv2d, torch.nn.GroupNorm, torch.nn.LayerNorm

        class Linear(torch.nn.Linear):
            def forward(self, x):
                calls["linear"] += 1
                return super().forward(x)

    def attention(q, k, v, heads):
        calls["attention"] += 1
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(-2)

    config = UNetConfig.from_dict(golden("unet_small.json"))
    model = seed_weights(UNet3DConditionModel(config, operations=Operations, attention=attention))
    sample, audio = inputs[0][:1, :, :5].double(), inputs[1][:5].double()
    assert relative_error(model.double()(sample, 1, audio), golden("unet_small.npz")["t1"]) < 1e-5
    assert calls["attention"] == 2 * 16 + 2 * 20  # spatial transformers and motion modules of the published layout
    assert calls["linear"] == sum(isinstance(m, Operations.Linear) for m in model.modules())


def test_too_long_a_window_is_refused(small_unet):
    with pytest.raises(LatentSyncError, match="25 frames .* 24"):
        small_unet(torch.zeros(1, 13, 25, 8, 8), 1, torch.zeros(25, 50, 48))


def test_config_names_the_key_it_does_not_know(golden):
    with pytest.raises(LatentSyncError, match="block_out_chanels"):
        UNetConfig.from_dict({**golden("unet_small.json"), "block_out_chanels": [1]})


def test_config_round_trips_and_reads_yaml_numbers(golden):
    config = UNetConfig.from_dict({**golden("unet_small.json"), "norm_eps": "1e-5"})
    assert config.norm_eps == 1e-5
    assert UNetConfig.from_dict(config.to_dict()) == config
