"""The estimate counts what a schedule of steps really costs."""

import pytest

from latentsync_core.options import Guidance
from latentsync_core.pipeline import estimate
from latentsync_core.pipeline.estimate import passes, window_seconds
from latentsync_core.pipeline.settings import Settings


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


def test_a_window_costs_its_full_steps_and_its_cached_ones(monkeypatch):
    """With a clock that says 1 s for a full step and 0.1 s for a cached one."""
    tried = []
    monkeypatch.setattr(estimate, "denoise_few", lambda faces, settings, models, steps: tried.append(steps))
    monkeypatch.setattr(estimate, "timed", lambda work: work() or {1: 1.0, 2: 1.1}[tried[-1]])
    assert window_seconds(None, Settings(), None) == pytest.approx(20)
    assert tried == [1]  # nothing is reused, nothing more is tried
    assert window_seconds(None, Settings(reuse=3), None) == pytest.approx(7 + 13 * 0.1)
