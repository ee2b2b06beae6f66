"""What pictures are made of while sampling: the clean latents by the prediction so far, step by step."""

import pytest
import torch

from latentsync_core.diffusion import SamplerSettings, TensorConditioning, Window, sample_clip, window_groups
from latentsync_core.diffusion.schedule import training_alphas
from latentsync_core.options import SOLVERS

STEPS, FRAMES, SIDE = 4, 6, 8


class KnowsTheAnswer:
    """Predicts the noise that lies over clean latents of one value."""

    dtype = torch.float32

    def __init__(self, value: float):
        self.value = value

    def __call__(self, sample, timestep, audio_tokens, kept=None):
        alpha = training_alphas()[int(timestep)]
        return (sample[:, :4] - alpha**0.5 * self.value) / (1 - alpha) ** 0.5


@pytest.mark.parametrize("solver", SOLVERS)
def test_they_are_what_the_network_sees_behind_the_noise_under_every_solver(solver):
    told = []
    latents = sample_clip(
        KnowsTheAnswer(0.7),
        torch.randn(1, 4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)),
        TensorConditioning(torch.zeros(1, 9, FRAMES, SIDE, SIDE), torch.zeros(FRAMES, 2, 3)),
        window_groups([Window(0, 4), Window(4, FRAMES)]),
        SamplerSettings(steps=STEPS, guidance=1.0, solver=solver),
        frames=FRAMES,
        on_clean=lambda start, clean: told.append((start, clean)),
    )
    assert [start for start, _ in told] == [0] * STEPS + [4] * STEPS
    assert [clean.shape[2] for _, clean in told] == [4] * STEPS + [2] * STEPS
    for _, clean in told:
        assert clean.allclose(torch.tensor(0.7), atol=1e-3)
    assert latents.shape == (1, 4, FRAMES, SIDE, SIDE)
