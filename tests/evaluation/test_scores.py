"""Scores of evaluation clips, averaged and as a table."""

import numpy as np
import pytest

from latentsync_core.evaluation.scores import Scores, average, table


def test_a_table_has_a_row_for_each_and_no_numbers_where_there_are_none():
    nan = float("nan")
    scores = [Scores(0.9, -2, 0.1, 30, 0.95, 1.1, nan, 0.5), Scores(0.7, 1, 0.0, 28, 0.93, 0.9, nan, 0.6)]
    mean = average(scores)
    assert (mean.correlation, mean.lag, mean.psnr) == (pytest.approx(0.8), 1.5, 29) and np.isnan(mean.border_energy)
    assert table([("guidance 1.5", mean)]).splitlines()[-1] == (
        "| guidance 1.5 | 0.800 | 1.50 | 0.050 | 29.0 | 0.940 | 1.00 | - | 0.55 |"
    )
    assert mean.to_dict()["border_energy"] is None
