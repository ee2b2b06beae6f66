"""Both sides of the guidance see the same picture: what needs no voice is computed once, with the same result."""

import pytest
import torch
from rounding import relative_error
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.diffusion import sample_windows
from latentsync_core.models.unet import DeepFeatures, UNet3DConditionModel, UNetConfig

FRAMES, SIDE = 3, 8  # latent pixels
WITHOUT_VOICE_AT_FIRST = {"down_block_types": ["DownBlock3D", *["CrossAttnDownBlock3D"] * 2, "DownBlock3D"]}


def seeded_unet(**changes) -> UNet3DConditionModel:
    """In double precision, where the order of sums is all that may differ."""
    config = UNetConfig.from_dict({**NARROW_UNET, **changes})
    return seed_weights(UNet3DConditionModel(config), prefix="shared.").double()


@pytest.fixture(scope="module")
def inputs():
    """One sample, and the tokens of two sides."""
    sample = torch.from_numpy(draw("shared.sample", 1, 13, FRAMES, SIDE, SIDE)).double()
    return sample, torch.from_numpy(draw("shared.audio", 2 * FRAMES, 50, 48)).double()


def rows_seen(module: torch.nn.Module) -> list[int]:
    """A list that grows by the rows of every call."""
    rows: list[int] = []
    module.register_forward_hook(lambda _, args, out: rows.append(len(args[0])))
    return rows


@pytest.mark.parametrize("changes", [{}, WITHOUT_VOICE_AT_FIRST, {"add_audio_layer": False}])
@torch.inference_mode()
def test_a_sample_expanded_to_two_gives_what_two_samples_give(inputs, changes):
    unet, (sample, audio) = seeded_unet(**changes), inputs
    first = rows_seen(unet.conv_in)
    both = sample.expand(2, -1, -1, -1, -1)
    apart = unet(both.contiguous(), 500, audio)
    together = unet(both, 500, audio)
    assert first == [2 * FRAMES, FRAMES]
    assert relative_error(together, apart) < 1e-9
    assert together.shape == (2, 4, FRAMES, SIDE, SIDE)


@torch.inference_mode()
def test_kept_features_are_each_sides_own(inputs):
    unet, (sample, audio) = seeded_unet(), inputs
    both, kept = sample.expand(2, -1, -1, -1, -1), [DeepFeatures(), DeepFeatures()]
    apart = unet(both.contiguous(), 500, audio)
    deep = rows_seen(unet.mid_block)
    for emptied in (kept, [], kept[:1], kept[1:]):
        for features in emptied:
            features.forget()
        assert relative_error(unet(both, 500, audio, kept), apart) < 1e-9
    assert deep == [2 * FRAMES, FRAMES, FRAMES]


@torch.inference_mode()
def test_samples_at_different_timesteps_share_nothing(inputs):
    unet, (sample, audio) = seeded_unet(), inputs
    first = rows_seen(unet.conv_in)
    both, times = sample.expand(2, -1, -1, -1, -1), torch.tensor([500, 20])
    assert relative_error(unet(both, times, audio), unet(both.contiguous(), times, audio)) < 1e-9
    unet(both, torch.tensor(500).expand(2), audio)  # as a host passes one timestep
    assert first == [2 * FRAMES, 2 * FRAMES, FRAMES]


def test_guided_sampling_shares_and_a_null_without_the_reference_does_not(inputs):
    unet, audio = seeded_unet(), inputs[1][:FRAMES].float()
    first = rows_seen(unet.conv_in)
    noise, condition = inputs[0][:, :4, :1].float(), inputs[0][:, 4:].float()
    sample_windows(unet, noise, condition, audio, steps=1, guidance=1.5)
    sample_windows(unet, noise, torch.cat([condition, condition + 1]), audio, steps=1, guidance=1.5)
    sample_windows(unet, noise, condition, audio, steps=1, guidance=1.0)
    assert first == [FRAMES, 2 * FRAMES, FRAMES]
