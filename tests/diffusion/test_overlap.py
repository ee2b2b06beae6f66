"""Overlapping windows: fused at every step, as many frames as before, and nothing where nothing overlaps."""

import numpy as np
import pytest
import torch
from seeded import draw

from latentsync_core.diffusion import (
    SamplerSettings,
    TensorConditioning,
    Window,
    WindowGroup,
    disjoint_windows,
    fusion_weights,
    make_schedule,
    plan_windows,
    sample_clip,
    sample_windows,
    window_chains,
    window_groups,
)
from latentsync_core.errors import LatentSyncError
from latentsync_core.options import SOLVERS

FRAMES = 40


@pytest.fixture(scope="module")
def inputs():
    noise = torch.from_numpy(draw("overlap.noise", 1, 4, 1, 8, 8))
    condition = torch.from_numpy(draw("overlap.cond", 1, 9, 1, 8, 8)).expand(-1, -1, FRAMES, -1, -1)
    return noise, condition, torch.zeros(FRAMES, 50, 48)


def first_frame_predictor(sample, timestep, tokens):
    """A network that predicts the window's first frame number: discontinuous wherever a window ends."""
    return torch.ones_like(sample[:, :4]) * tokens[0].mean()


def spans(windows) -> list[tuple[int, int]]:
    return [(w.start, w.stop) for w in windows]


def test_neighbours_share_frames_and_all_have_full_length():
    assert spans(plan_windows([True] * 40, overlap=4)) == [(0, 16), (12, 28), (24, 40)]
    assert spans(plan_windows([True] * 42, overlap=4)) == [(0, 16), (8, 24), (17, 33), (26, 42)]
    assert spans(plan_windows([True] * 17, overlap=4)) == [(0, 16), (1, 17)]
    assert spans(plan_windows([True] * 9, overlap=4)) == [(0, 9)]


@pytest.mark.parametrize("overlap", [1, 4, 8])
@pytest.mark.parametrize("frames", [16, 31, 100, 128])
def test_an_overlap_costs_as_many_windows_as_it_must(frames, overlap):
    windows = plan_windows([True] * frames, overlap=overlap)
    assert len(windows) == 1 + -(-(frames - 16) // (16 - overlap))
    assert all(len(w) == 16 for w in windows)
    assert all(a.stop - b.start >= overlap for a, b in zip(windows, windows[1:], strict=False))


def test_overlaps_cross_neither_breaks_nor_gaps():
    present = [True] * 40 + [False] * 3 + [True] * 30
    windows = plan_windows(present, breaks={20}, overlap=4)
    groups = [(group.start, group.stop) for group in window_groups(windows)]
    assert groups == [(0, 20), (20, 40), (43, 73)]
    assert [(group.reach.start, group.reach.stop) for group in window_groups(windows)] == groups


@pytest.mark.parametrize("overlap", [1, 4, 6, 8])
def test_long_intervals_are_divided_into_bounded_groups_that_share_windows(overlap):
    windows = plan_windows([True] * 1000, overlap=overlap)
    groups = window_groups(windows)
    lengths = [group.stop - group.start for group in groups]
    assert sum(lengths) == 1000 and max(lengths) <= 136 and min(lengths) >= 112
    for group, following in zip(groups, groups[1:], strict=False):
        assert group.stop == following.start
        around = [span for span in windows if span.start < group.stop < span.stop]
        assert set(around) <= set(group.windows) & set(following.windows)
    for group in groups:
        assert len(group.reach) <= 136 + 2 * 16
        assert group.moved(7).reach.start == group.reach.start + 7


def test_a_chain_of_few_long_windows_is_divided_between_them_only():
    chain = [Window(0, 300), Window(280, 400), Window(390, 700)]
    groups = window_groups(chain)
    assert [(group.start, group.stop) for group in groups] == [(0, 290), (290, 395), (395, 700)]
    assert [len(group.windows) for group in groups] == [2, 3, 2]
    assert window_groups(chain[:1]) == [WindowGroup(0, 300, (chain[0],))]


def test_dividing_a_chain_changes_nothing_where_windows_are_independent(inputs):
    """Predictions are fused at a group's boundary as anywhere else."""
    noise, condition, _ = inputs
    frames, windows = 300, plan_windows([True] * 300, overlap=6)
    count = torch.arange(frames)[:, None, None].expand(-1, 50, 48).float()
    condition = condition[:, :, :1].expand(-1, -1, frames, -1, -1)
    groups = window_groups(windows)
    assert len(groups) == 3
    whole = [WindowGroup(0, frames, windows)]
    found = sample_windows(first_frame_predictor, noise, condition, count, 4, 1.0, windows=windows)
    conditioning, settings = TensorConditioning(condition, count), SamplerSettings(steps=4, guidance=1.0)

    def sampled(plan):
        return sample_clip(first_frame_predictor, noise, conditioning, plan, settings, frames=frames)

    expected = sampled(whole)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    apart = [Window(0, 100), Window(100, 200), Window(200, 300)]
    chains = [plan_windows([True] * len(part), overlap=6) for part in apart]
    alone = [WindowGroup(0, 100, chain).moved(part.start) for part, chain in zip(apart, chains, strict=True)]
    jumps = [float(sampled(plan).diff(dim=2).abs().max()) for plan in (groups, whole, alone)]
    assert jumps[0] == pytest.approx(jumps[1], rel=1e-3) and jumps[2] > 3 * jumps[1]


@pytest.mark.parametrize(
    "windows", [plan_windows([True] * 100, overlap=5), plan_windows([True] * 33, window=9, overlap=4)]
)
def test_every_frame_is_covered_once_and_fully(windows):
    weights = fusion_weights(windows)
    total = np.zeros(windows[-1].stop)
    for span, weight in zip(windows, weights, strict=True):
        total[span.start : span.stop] += weight.numpy()
        assert weight.min() > 0
    assert total == pytest.approx(1, abs=1e-6)
    assert [f for span in disjoint_windows(windows) for f in range(span.start, span.stop)] == list(range(len(total)))


def test_disjoint_windows_are_left_as_they_are():
    windows = plan_windows([True] * 40)
    assert disjoint_windows(windows) == list(windows)
    assert [group.windows for group in window_groups(windows)] == window_chains(windows) == [(w,) for w in windows]
    assert all((weight == 1).all() for chain in window_chains(windows) for weight in fusion_weights(chain))


@pytest.mark.parametrize(("window", "overlap"), [(16, 9), (16, -1), (1, 1)])
def test_impossible_overlaps_are_refused(window, overlap):
    with pytest.raises(LatentSyncError, match=f"overlap of {overlap} frames .* windows of {window} can share 0 to"):
        plan_windows([True] * 40, window=window, overlap=overlap)


@pytest.mark.parametrize("solver", SOLVERS)
def test_fusing_removes_the_discontinuity_at_a_windows_border(inputs, solver):
    noise, condition, _ = inputs
    count = torch.arange(FRAMES)[:, None, None].expand(-1, 50, 48).float()
    jumps = {}
    for overlap in (0, 4, 8):
        calls = []
        latents = sample_windows(
            first_frame_predictor,
            noise,
            condition,
            count,
            steps=4,
            guidance=1.0,
            overlap=overlap,
            solver=solver,
            on_progress=lambda *done, calls=calls: calls.append(done),
        )
        jumps[overlap] = float(latents.diff(dim=2).abs().max())
        windows = len(plan_windows([True] * FRAMES, overlap=overlap))
        assert calls == [(i + 1, 4 * windows) for i in range(4 * windows)]
    # Windows begin every 16 or 12 frames; what jumps between them is spread over 1 or 5 steps.
    assert jumps[4] == pytest.approx(jumps[0] * 12 / 16 / 5, rel=1e-3)
    assert jumps[8] < jumps[4]


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_solver_step_is_taken_for_all_frames_of_a_group(inputs, solver):
    """Where all windows agree, overlapping them changes nothing, whatever history the solver keeps."""

    def agreeing(sample, timestep, tokens):
        return sample[:, :4] * 0.5 + sample[:, 5:9] * 0.1

    apart = sample_windows(agreeing, *inputs, steps=6, guidance=1.0, solver=solver)
    fused = sample_windows(agreeing, *inputs, steps=6, guidance=1.0, solver=solver, overlap=6)
    torch.testing.assert_close(fused, apart, rtol=1e-4, atol=1e-5)


def test_a_group_is_denoised_as_multidiffusion_says(inputs):
    """Against the definition, written out: the mean prediction, weighted, then one step for every frame."""
    noise, condition, audio = inputs
    audio = torch.from_numpy(draw("overlap.audio", 24, 50, 48))
    windows = [Window(0, 16), Window(8, 24)]

    def predict(sample, timestep, tokens):
        f = sample.shape[2]
        voice = tokens.reshape(len(sample), f, -1).mean((1, 2))[:, None, None, None, None]
        return 0.3 * sample[:, :4] + voice + sample[:, :4].mean(2, keepdim=True)

    found = sample_windows(predict, noise, condition[:, :, :24], audio, 5, 2.0, windows=windows)
    weights = torch.zeros(2, 24)
    ramp = torch.arange(1, 9) / 9
    weights[0, :8], weights[0, 8:16], weights[1, 8:16], weights[1, 16:] = 1, 1 - ramp, ramp, 1
    schedule, latents = make_schedule("ddim", 5), noise.expand(-1, -1, 24, -1, -1)
    for timestep in schedule.timesteps:
        fused = torch.zeros_like(latents)
        for row, span in enumerate(windows):
            part = slice(span.start, span.stop)
            sample = torch.cat([latents[:, :, part], condition[:, :, part]], dim=1)
            null, voice = (predict(sample, timestep, tokens) for tokens in (0 * audio[part], audio[part]))
            fused[:, :, part] += (null + 2 * (voice - null)) * weights[row, part, None, None]
        latents = schedule.step(fused, timestep, latents).prev_sample
    torch.testing.assert_close(found, latents, rtol=1e-4, atol=1e-5)
