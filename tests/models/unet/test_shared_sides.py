"""Both sides of the guidance see the same picture, and one hears nothing: what needs no voice is computed once, and
no voice is not attended to, with the same result."""

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
    """Two samples, and the tokens of both sides of the guidance for each: the first two are zeros."""
    sample = torch.from_numpy(draw("shared.sample", 2, 13, FRAMES, SIDE, SIDE)).double()
    voice = torch.from_numpy(draw("shared.audio", 2 * FRAMES, 50, 48)).double()
    return sample, torch.cat([torch.zeros_like(voice), voice])


def rows_seen(module: torch.nn.Module) -> list[int]:
    """A list that grows by the rows of every call."""
    rows: list[int] = []
    module.register_forward_hook(lambda _, args, out: rows.append(len(args[0])))
    return rows


@pytest.mark.parametrize("changes", [{}, WITHOUT_VOICE_AT_FIRST, {"add_audio_layer": False}])
@pytest.mark.parametrize("windows", [1, 2])
@torch.inference_mode()
def test_samples_that_stand_for_both_sides_give_what_all_of_them_give(inputs, changes, windows):
    unet, sample, tokens = seeded_unet(**changes), inputs[0][:windows], inputs[1][: 2 * windows * FRAMES]
    first = rows_seen(unet.conv_in)
    apart = unet(sample.repeat(2, 1, 1, 1, 1), 500, tokens)
    together = unet(sample, 500, tokens, batch=2 * windows)
    assert first == [2 * windows * FRAMES, windows * FRAMES]
    assert relative_error(together, apart) < 1e-9
    assert together.shape == (2 * windows, 4, FRAMES, SIDE, SIDE)


@pytest.mark.parametrize("changes", [{}, WITHOUT_VOICE_AT_FIRST])
@torch.inference_mode()
def test_samples_without_tokens_give_what_zeros_give(inputs, changes):
    unet, (sample, tokens) = seeded_unet(**changes), inputs
    attended = [rows_seen(module) for name, module in unet.named_modules() if name.endswith("attn2.to_q")]
    zeros = unet(sample.repeat(2, 1, 1, 1, 1), 500, tokens)
    for rows in attended:
        assert rows.pop() == 4 * FRAMES
    without = unet(sample, 500, tokens[2 * FRAMES :], batch=4)
    assert relative_error(without, zeros) < 1e-9
    assert all(rows == [2 * FRAMES] for rows in attended) and len(attended) > 4
    nobody_speaks = unet(sample, 500, tokens[:0], batch=2)
    assert relative_error(nobody_speaks, zeros[:2]) < 1e-9
    assert all(rows == [2 * FRAMES] for rows in attended)  # and not once more


@pytest.mark.parametrize("silent", [False, True])
@torch.inference_mode()
def test_kept_features_are_each_samples_own(inputs, silent):
    unet, (sample, tokens) = seeded_unet(), inputs
    apart = unet(sample.repeat(2, 1, 1, 1, 1), 500, tokens)
    kept = [DeepFeatures() for _ in range(4)]
    deep = rows_seen(unet.mid_block)
    for emptied in (kept, [], kept[:2], kept[2:], kept[1:2], kept[1:3], kept[1:]):
        for features in emptied:
            features.forget()
        found = unet(sample, 500, tokens[2 * FRAMES :] if silent else tokens, kept, batch=4)
        assert relative_error(found, apart) < 1e-9
    assert deep == [count * FRAMES for count in (4, 2, 2, 1, 2, 3)]


@torch.inference_mode()
def test_what_does_not_fit_together_is_refused(inputs):
    unet, (sample, tokens) = seeded_unet(), inputs
    with pytest.raises(ValueError, match="hold 12 frames, the sample 2 x 3 = 6"):
        unet(sample, 500, tokens)
    with pytest.raises(ValueError, match="hold 3 frames, the sample 2 x 3 = 6"):
        unet(sample, 500, tokens[:FRAMES])  # in training nothing may be left out
    with pytest.raises(ValueError, match="hold 4 frames"):
        unet(sample, 500, tokens[:4], batch=4)
    with pytest.raises(ValueError, match="2 samples at 1 timesteps do not stand for 3"):
        unet(sample, 500, tokens[:9], batch=3)
    with pytest.raises(ValueError, match="2 samples at 2 timesteps do not stand for 4"):
        unet(sample, torch.tensor([500, 20]), tokens, batch=4)


def test_guided_sampling_shares_and_a_null_without_the_reference_does_not(inputs):
    unet, audio = seeded_unet(), inputs[1][-FRAMES:].float()
    first = rows_seen(unet.conv_in)
    noise, condition = inputs[0][:1, :4, :1].float(), inputs[0][:1, 4:].float()
    sample_windows(unet, noise, condition, audio, steps=1, guidance=1.5)
    sample_windows(unet, noise, torch.cat([condition, condition + 1]), audio, steps=1, guidance=1.5)
    sample_windows(unet, noise, condition, audio, steps=1, guidance=1.0)
    assert first == [FRAMES, 2 * FRAMES, FRAMES]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_predictor_that_knows_nothing_of_it_gets_all_samples_and_tokens(inputs, rows):
    unet, audio = seeded_unet(), inputs[1][-FRAMES:].float()
    noise = inputs[0][:1, :4, :1].float()
    condition = torch.cat([inputs[0][:1, 4:].float(), inputs[0][1:, 4:].float()])[:rows]
    shapes = []

    class Plain:
        dtype = unet.dtype

        def __call__(self, sample, timestep, tokens, kept):
            shapes.append((len(sample), len(tokens), len(kept)))
            return unet(sample, timestep, tokens, kept)

    options = {"steps": 3, "guidance": [1.5, 2.0, 1.0], "reuse": 2}
    plain = sample_windows(Plain(), noise, condition, audio, **options)
    assert shapes == [(2, 2 * FRAMES, 2), (2, 2 * FRAMES, 2), (1, FRAMES, 1)]
    assert relative_error(sample_windows(unet, noise, condition, audio, **options), plain) < 1e-6  # latents: float32


def test_a_learned_null_is_attended_to(inputs):
    unet, audio = seeded_unet(), inputs[1][-FRAMES:].float()
    noise, condition = inputs[0][:1, :4, :1].float(), inputs[0][:1, 4:].float()
    options = {"steps": 2, "guidance": 2.0}
    zeros = sample_windows(unet, noise, condition, audio, **options)
    given = sample_windows(unet, noise, condition, audio, null_tokens=torch.zeros(1, 50, 48), **options)
    learned = sample_windows(unet, noise, condition, audio, null_tokens=torch.ones(1, 50, 48), **options)
    assert relative_error(given, zeros) < 1e-6
    assert relative_error(learned, zeros) > 1e-3
