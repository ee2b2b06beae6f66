"""The embedded model speaks: words and a voice that training never heard, from file to file, read by the face mesh."""

import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation import make_exams, sit_exam
from latentsync_core.evaluation.evaluation_clips import mark
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
LEAST_CORRELATION = 0.8


def test_the_mouth_follows_an_unknown_voice_and_nobody_elses(tmp_path):
    try:
        exam, other = make_exams(2, seconds=4.0)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    paper = sit_exam(exam, load_models("embedded", device="cpu"), Settings(steps=10), tmp_path)
    marks = mark(exam, paper, [other.answer.opening])
    assert marks.correlation > LEAST_CORRELATION and abs(marks.lag) <= 1
    assert marks.shuffled < 0.2 and marks.psnr > 25
    assert marks.opening_range > 0.4  # 0.7 is what the mesh reads off the drawn answer
