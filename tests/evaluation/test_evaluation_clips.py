"""An exam's answer is the same head with another mouth: it gets full marks, the clip that was not dubbed none."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation import make_exams
from latentsync_core.evaluation.evaluate import mark_clips
from latentsync_core.evaluation.evaluation_clips import lower_faces
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")


@pytest.fixture(scope="module")
def exams():
    try:
        return make_exams(2, seconds=2.0)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def test_only_the_mouth_tells_answer_from_source(exams):
    for exam in exams:
        source, answer = exam.source, exam.answer
        assert np.abs(answer.opening - source.opening).max() > 0.05 and answer.voice.split("+")[1] in ("f3", "m4", "m8")
        eyes = slice(40, 100)  # rows of the 256 px picture above the mouth's reach
        assert np.abs(answer.frames[:, eyes].astype(int) - source.frames[:, eyes]).mean() < 1.5
        shown, wanted = lower_faces(answer.frames, source.frames, answer.frames)
        assert np.abs(shown.astype(int) - wanted).mean() > 3


def test_the_answer_itself_gets_full_marks_and_the_source_none(exams):
    answers, sources = (mark_clips(exams, which, Settings()) for which in ("answer", "source"))
    for marks in answers:
        assert marks.correlation > 0.93 and marks.lag == 0 and marks.psnr == float("inf") and marks.flicker == 1
    assert max(marks.correlation for marks in sources) < 0.6
