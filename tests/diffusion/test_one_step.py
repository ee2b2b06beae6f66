"""MuseTalk's pass: its published numbers, frames that know nothing of one another, and memory that does not suffice."""

import logging

import pytest
import torch
from rounding import relative_error
from seeded import draw, seed_weights

from latentsync_core.audio import encode_positions
from latentsync_core.diffusion import NonFiniteLatentsError, Window, WindowBatch, redraw_latents, redraw_windows
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig

WINDOWS = [Window(0, 2), Window(2, 3), Window(3, 6)]


@pytest.fixture(scope="module")
def unet(golden):
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("musetalk_small.json")))).double()


@pytest.fixture(scope="module")
def inputs():
    return torch.from_numpy(draw("musetalk.latents", 6, 8, 8, 8)), torch.from_numpy(draw("musetalk.audio", 6, 50, 48))


def window_of(inputs):
    return lambda window: tuple(tensor[window.start : window.stop] for tensor in inputs)


@pytest.mark.parametrize(("positions", "name"), [("on", "predicted"), ("off", "predicted_without_positions")])
def test_the_pass_equals_the_reference(unet, inputs, golden, positions, name):
    faces, tokens = inputs
    redrawn = redraw_latents(unet, faces, encode_positions(tokens, positions))
    assert redrawn.dtype == torch.float32
    assert relative_error(redrawn, golden("musetalk.npz")[name]) < 1e-4


def test_frames_at_once_give_what_they_give_one_by_one(unet, inputs):
    together = redraw_latents(unet, *inputs)
    apart = torch.cat([redraw_latents(unet, *(t[i : i + 1] for t in inputs)) for i in range(6)])
    windows = torch.cat([rows for _, rows in redraw_windows(unet, WINDOWS, window_of(inputs), WindowBatch(2))])
    assert relative_error(together, apart) < 1e-6 and relative_error(windows, apart) < 1e-6  # latents are float32


def test_a_memory_error_ends_several_windows_at_once(unet, inputs, caplog):
    class Network:
        """The network with room for three frames."""

        device, dtype, passes = unet.device, unet.dtype, []

        def __call__(self, sample, *rest):
            if len(sample) > 3:
                raise torch.OutOfMemoryError("out of memory")
            self.passes.append(len(sample))
            return unet(sample, *rest)

    network, batch = Network(), WindowBatch(3)
    with caplog.at_level(logging.WARNING):
        found = torch.cat([rows for _, rows in redraw_windows(network, WINDOWS, window_of(inputs), batch)])
    assert network.passes == [2, 1, 3] and batch.at_once == 1 and "one at a time" in caplog.text
    assert relative_error(found, redraw_latents(unet, *inputs)) < 1e-6


def test_nan_is_an_error_and_no_picture(unet, inputs):
    faces, tokens = inputs
    with pytest.raises(NonFiniteLatentsError, match="6 frames"):
        redraw_latents(unet, faces * float("nan"), tokens)
