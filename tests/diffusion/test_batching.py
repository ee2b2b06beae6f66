"""Windows that go through the network together give what they give one by one, and a memory error ends it."""

import logging

import pytest
import torch
from rounding import relative_error
from seeded import NARROW_UNET, draw, seed_weights
from torch.profiler import ProfilerActivity, profile

from latentsync_core.diffusion import WindowBatch, sample_windows
from latentsync_core.diffusion.batching import PEAK_MAPS, window_bytes, windows_that_fit
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig
from latentsync_core.options import SOLVERS

FRAMES, SIDE, WINDOW = 7, 8, 2  # frames, latent pixels, frames: three whole windows and a shorter one
GIBIBYTE = 2**30


@pytest.fixture(scope="module")
def unet():
    """In double precision, so that nothing but the latents' own rounding between steps is left."""
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(NARROW_UNET)), prefix="batching.").double()


@pytest.fixture(scope="module")
def inputs():
    noise = torch.from_numpy(draw("batching.noise", 1, 4, 1, SIDE, SIDE))
    condition = torch.from_numpy(draw("batching.cond", 1, 9, FRAMES, SIDE, SIDE))
    return noise, condition, torch.from_numpy(draw("batching.audio", FRAMES, 50, 48))


class Network:
    """The network, noting how many samples each pass had; with room for `most` of them."""

    takes_batch = True

    def __init__(self, unet, most=1000):
        self.unet, self.dtype, self.most, self.passes = unet, unet.dtype, most, []

    def __call__(self, *inputs, batch):
        self.passes.append(batch)
        if batch > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.unet(*inputs, batch=batch)


@pytest.mark.parametrize(("overlap", "reuse"), [(0, 1), (1, 2)])
def test_windows_at_once_give_what_they_give_one_by_one(unet, inputs, overlap, reuse):
    network = Network(unet)
    options = {"steps": 2, "guidance": [2.0, 1.0], "window": WINDOW, "overlap": overlap, "reuse": reuse}
    apart = sample_windows(network, *inputs, batch=1, **options)
    passes, network.passes = network.passes, []
    together = sample_windows(network, *inputs, batch=2, **options)
    assert len(network.passes) < len(passes) and sum(network.passes) == sum(passes)
    assert relative_error(together, apart) < 1e-6  # latents are float32
    assert relative_error(sample_windows(network, *inputs, batch=64, **options), apart) < 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_group_keeps_its_own_history(unet, inputs, solver):
    noise, condition, audio = inputs
    options = {"steps": 3, "guidance": 1.0, "window": 1, "solver": solver}
    part = noise, condition[:, :, :2], audio[:2]
    together = sample_windows(unet, *part, batch=2, **options)
    assert relative_error(together, sample_windows(unet, *part, batch=1, **options)) < 1e-6


def test_a_shorter_window_goes_by_itself(unet, inputs):
    network = Network(unet)
    sample_windows(network, *inputs, steps=1, guidance=2.0, window=WINDOW, batch=64)
    assert network.passes == [2 * 3, 2]  # both sides of three windows, then of the last one


def test_a_null_without_the_reference_is_its_own_side(unet, inputs):
    noise, condition, audio = inputs
    two_rows = torch.cat([condition + 1, condition])
    options = {"steps": 1, "guidance": 2.0, "window": WINDOW, "null_tokens": torch.ones(1, 50, 48)}
    together = sample_windows(unet, noise, two_rows, audio, batch=3, **options)
    assert relative_error(together, sample_windows(unet, noise, two_rows, audio, batch=1, **options)) < 1e-6


def test_after_a_memory_error_it_goes_on_one_by_one_and_says_so_once(unet, inputs, caplog):
    network, batch = Network(unet, most=2), WindowBatch(3)
    options = {"steps": 2, "guidance": 2.0, "window": WINDOW, "reuse": 2}
    seen = []
    with caplog.at_level(logging.WARNING):
        found = sample_windows(network, *inputs, batch=batch, on_progress=lambda *done: seen.append(done), **options)
        assert network.passes == [6, *[2] * 8]
        sample_windows(network, *inputs, batch=batch, **options)  # the next segment of a run
    assert network.passes.count(6) == 1 and batch.at_once == 1
    assert [record.message for record in caplog.records] == [
        "The memory did not suffice for several windows at once; from here on it is one at a time."
    ]
    assert seen == [(done, 8) for done in range(1, 9)]
    assert relative_error(found, sample_windows(unet, *inputs, batch=1, **options)) < 1e-6


def test_memory_too_small_for_one_window_is_an_error(unet, inputs):
    with pytest.raises(torch.OutOfMemoryError):
        sample_windows(Network(unet, most=1), *inputs, steps=1, guidance=2.0, window=WINDOW, batch=2)


def test_progress_counts_every_window_and_cancel_stops_within_a_batch(unet, inputs):
    network, seen = Network(unet), []

    def cancel():
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_windows(
            network,
            *inputs,
            steps=2,
            guidance=1.0,
            window=WINDOW,
            batch=2,
            on_progress=lambda *done: seen.append(done),
            check_cancelled=cancel,
        )
    assert seen == [(done, 8) for done in range(1, 6)]
    assert network.passes == [2, 2, 1]  # both steps of the first two windows, then the last whole one


def test_by_itself_a_cpu_takes_one_window_at_a_time(unet, inputs):
    network = Network(unet)
    sample_windows(network, *inputs, steps=1, guidance=1.0, window=WINDOW)
    assert network.passes == [1, 1, 1, 1]


def test_a_card_takes_what_fits():
    at_256, at_512 = (window_bytes(320, frames=16, side=side, dtype=torch.float16) for side in (32, 64))
    assert at_512 == 4 * at_256
    assert [windows_that_fit(free * GIBIBYTE, at_256) for free in (0, 1, 2, 80)] == [1, 1, 3, 4]
    assert [windows_that_fit(free * GIBIBYTE, at_512) for free in (0, 4, 8, 80)] == [1, 1, 3, 4]


def test_a_pass_holds_at_its_peak_what_is_reckoned_with():
    """Of the published depth; widths and sizes cancel out."""
    frames, side = 2, 16
    config = UNetConfig.from_dict({**NARROW_UNET, "block_out_channels": [32, 64, 128, 128], "layers_per_block": 2})
    unet = seed_weights(UNet3DConditionModel(config), prefix="peak.")
    sample, voice = torch.zeros(1, 13, frames, side, side), torch.zeros(frames, 50, 48)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        unet(sample, 500, voice, batch=2)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    reckoned = window_bytes(32, frames, side, torch.float32)
    assert 0.9 * reckoned < peak <= reckoned, peak / reckoned * PEAK_MAPS


@pytest.mark.parametrize("batch", [0, -1, 65, "many", 1.5])
def test_impossible_batches_are_refused(unet, inputs, batch):
    with pytest.raises(LatentSyncError, match="windows are to be denoised at once; choose 1 to 64, or auto"):
        sample_windows(unet, *inputs, steps=1, batch=batch)
