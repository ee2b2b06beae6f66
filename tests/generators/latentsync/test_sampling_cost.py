"""The estimate counts what a schedule of steps really costs."""

import pytest

from latentsync_core.generators.latentsync.sampling import passes, window_seconds
from latentsync_core.options import Guidance
from latentsync_core.settings import Settings


@pytest.mark.parametrize(
    ("settings", "full", "reused"),
    [
        (Settings(), 20, 0),
        (Settings(reuse=3), 7, 13),  # steps 0, 3, ..., 18
        (Settings(reuse=3, reuse_null=6), 5.5, 14.5),  # and 0, 6, 12, 18: each side is half of a guided step
        (Settings(guidance=Guidance(1.0), reuse=3), 7, 13),
        (Settings(guidance=Guidance(1.5, start=0.5), reuse=4), 4, 11),  # 5 voice and 3 null of 20 and 10
    ],
)
def test_steps_that_reuse_features_are_counted_apart(settings, full, reused):
    assert passes(settings) == (full, reused)


def test_a_window_costs_its_full_steps_and_its_cached_ones():
    """Where a full step takes 1 s and a cached one 0.1 s."""
    assert window_seconds(Settings(), {1: 1.0}.__getitem__) == pytest.approx(20)  # nothing more is tried
    assert window_seconds(Settings(reuse=3), {1: 1.0, 2: 1.1}.__getitem__) == pytest.approx(7 + 13 * 0.1)
