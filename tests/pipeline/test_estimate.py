"""The forecast counts what a schedule of steps really costs."""

import pytest

from latentsync_core.options import Guidance
from latentsync_core.pipeline.estimate import passes
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
