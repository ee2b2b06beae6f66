"""Feature reuse equals the published scripts', leaves out what it says, and never mixes windows, sides or runs."""

import pytest
import torch
from rounding import relative_error
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.diffusion import sample_windows
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.unet import DeepFeatures, UNet3DConditionModel, UNetConfig

FRAMES, SIDE = 6, 8  # frames of the clip, latent pixels


@pytest.fixture(scope="module")
def unet():
    """Narrow, in double precision: what is compared here is equal to 1e-9, whatever the processor."""
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(NARROW_UNET)), prefix="reuse.").double()


@pytest.fixture(scope="module")
def inputs():
    noise = torch.from_numpy(draw("reuse.noise", 1, 4, 1, SIDE, SIDE))
    condition = torch.from_numpy(draw("reuse.cond", 1, 9, FRAMES, SIDE, SIDE))
    return noise, condition, torch.from_numpy(draw("reuse.audio", FRAMES, 50, 48))


@pytest.mark.parametrize(
    ("guidance", "steps", "interval", "first"), [(2.5, 7, 3, 0), (1.0, 20, 3, 16), (1.5, 20, 3, 16), (1.5, 20, 2, 16)]
)
def test_latents_equal_the_published_scripts(golden, guidance, steps, interval, first):
    """first: of the frames that are sampled; windows are independent, and the last one has five frames only."""
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json")))).double()
    noise = torch.from_numpy(draw("sample.noise", 1, 4, 1, 8, 8))
    condition = torch.from_numpy(draw("sample.cond", 1, 9, 21, 8, 8))[:, :, first:]
    audio = torch.from_numpy(draw("sample.audio", 21, 50, 48))[first:]
    latents = sample_windows(unet, noise, condition, audio, steps=steps, guidance=guidance, reuse=interval)
    expected = golden("sampling_deepcache.npz")
    for start, stop in ((0, 16), (16, 21))[first // 16 :]:
        found = latents[:, :, start - first : stop - first]
        name = f"cfg{guidance}_steps{steps}_interval{interval}_frames{start}_{stop}"
        assert relative_error(found, expected[name]) < 1e-3


def layers_that_ran(unet, *inputs) -> list[str]:
    """The names of all convolutions of one pass, in order."""
    names, hooks = [], []
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda *_, name=name: names.append(name)))
    with torch.inference_mode():
        unet(*inputs)
    for hook in hooks:
        hook.remove()
    return names


def test_a_cached_step_runs_the_last_layer_only(unet, inputs):
    sample = torch.from_numpy(draw("reuse.sample", 1, 13, FRAMES, SIDE, SIDE)).double()
    pass_inputs = (sample, 500, inputs[2].double(), [DeepFeatures()])
    everything = layers_that_ran(unet, *pass_inputs)
    cached = layers_that_ran(unet, *pass_inputs)
    last = len(unet.up_blocks[-1].resnets) - 1
    allowed = ("conv_in", f"up_blocks.3.resnets.{last}.", f"up_blocks.3.attentions.{last}.", "conv_out")
    assert cached and all(name.startswith(allowed) for name in cached)
    assert set(everything) == {name for name, module in unet.named_modules() if isinstance(module, torch.nn.Conv2d)}


def test_what_is_kept_gives_the_same_prediction_at_the_same_step(unet, inputs):
    sample = torch.from_numpy(draw("reuse.sample", 2, 13, 3, SIDE, SIDE)).double()
    kept = [DeepFeatures(), DeepFeatures()]
    with torch.inference_mode():
        plain = unet(sample, 500, inputs[2].double())
        full, cached = (unet(sample, 500, inputs[2].double(), kept) for _ in range(2))
        kept[0].forget()  # the batch is part full, part cached
        mixed = unet(sample, 500, inputs[2].double(), kept)
        other = unet(sample + 0.1, 500, inputs[2].double(), kept)
    for found in (full, cached, mixed):
        assert relative_error(found, plain) < 1e-9
    assert relative_error(other, plain) > 1e-3


@pytest.mark.parametrize("overlap", [0, 1])
def test_windows_keep_features_of_their_own(unet, inputs, overlap):
    options = {"steps": 5, "guidance": 1.5, "reuse": 3, "window": 3, "overlap": overlap}
    noise, condition, audio = inputs
    whole = sample_windows(unet, noise, condition, audio, **options)
    if overlap == 0:
        alone = sample_windows(unet, noise, condition[:, :, 3:], audio[3:], **options)
        assert relative_error(whole[:, :, 3:], alone) < 1e-6  # latents are float32
    again = sample_windows(unet, noise, condition, audio, **options)
    assert torch.equal(whole, again)  # nothing is left of the run before


class Recorded:
    """The network, and for each pass which of its samples were computed in full."""

    def __init__(self, unet):
        self.unet, self.dtype, self.passes = unet, unet.dtype, []

    def __call__(self, sample, timestep, tokens, kept):
        self.passes.append([features.maps is None for features in kept])
        return self.unet(sample, timestep, tokens, kept)


def test_sides_that_join_late_start_with_a_full_pass(unet, inputs):
    """With guidance from the second step on, the unconditional side has nothing to reuse there."""
    recorded = Recorded(unet)
    sample_windows(recorded, *inputs, steps=4, guidance=[1.0, 2.0, 2.0, 1.0], reuse=3)
    assert recorded.passes == [[True], [True, False], [False, False], [True]]


def test_each_side_has_an_interval_of_its_own(unet, inputs):
    recorded = Recorded(unet)
    sample_windows(recorded, *inputs, steps=5, guidance=1.5, reuse=2, reuse_null=4)
    assert recorded.passes == [[True, True], [False, False], [False, True], [False, False], [True, True]]
    recorded.passes.clear()
    sample_windows(recorded, *inputs, steps=2, guidance=1.5, reuse=1, reuse_null=2)
    assert recorded.passes == [[True, True], [False, True]]


def test_at_low_guidance_an_older_unconditional_side_is_closer_to_full_steps(unet, inputs):
    """eps = 1.5 voice - 0.5 null: what both sides lag behind cancels best where null's lag is three times as long."""

    noise, condition, audio = inputs

    def sample(**reuse):
        return sample_windows(unet, noise, condition[:, :, :2], audio[:2], steps=12, guidance=1.5, **reuse)

    full = sample()
    assert relative_error(sample(reuse=3, reuse_null=6), full) < 0.9 * relative_error(sample(reuse=3), full)


@pytest.mark.parametrize("reuse", [0, -3, 501])
def test_impossible_intervals_are_refused(unet, inputs, reuse):
    with pytest.raises(LatentSyncError, match=f"run every {reuse} steps; 1 .at every step. to 500"):
        sample_windows(unet, *inputs, steps=2, reuse=reuse)


def test_features_of_another_window_are_refused(unet, inputs):
    kept = [DeepFeatures()]
    sample = torch.zeros(1, 13, 3, SIDE, SIDE, dtype=torch.float64)
    audio = inputs[2].double()
    with torch.inference_mode():
        unet(sample, 500, audio[:3], kept)
        with pytest.raises(ValueError, match="features of 1 samples"):
            unet(sample[:, :, :2], 500, audio[:2], kept)
