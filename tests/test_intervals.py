"""Where a mask is true, split where a clip is."""

import numpy as np

from latentsync_core.intervals import runs_of


def test_runs_are_the_longest_and_breaks_split_only_inside_them():
    mask = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert runs_of(mask) == [(0, 2), (3, 6), (7, 8)]
    assert runs_of(mask.tolist(), breaks={0, 1, 2, 3, 5, 6, 8, 99}) == [(0, 1), (1, 2), (3, 5), (5, 6), (7, 8)]
    assert runs_of([]) == [] and runs_of([False]) == []
