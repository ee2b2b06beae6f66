"""The ground truth is the same head with another mouth: it gets the best scores, the source, not dubbed, the worst."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation import make_evaluation_clips
from latentsync_core.evaluation.evaluate import score_rendered_clips
from latentsync_core.evaluation.evaluation_clips import lower_faces
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")


@pytest.fixture(scope="module")
def clips():
    try:
        return make_evaluation_clips(2, seconds=2.0)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def test_ground_truth_and_source_differ_in_the_mouth_alone(clips):
    for clip in clips:
        source, truth = clip.source, clip.ground_truth
        assert np.abs(truth.opening - source.opening).max() > 0.05 and truth.voice.split("+")[1] in ("f3", "m4", "m8")
        eyes = slice(40, 100)  # rows of the 256 px picture above the mouth's reach
        assert np.abs(truth.frames[:, eyes].astype(int) - source.frames[:, eyes]).mean() < 1.5
        shown, wanted = lower_faces(truth.frames, source.frames, truth.frames)
        assert np.abs(shown.astype(int) - wanted).mean() > 3


def test_the_ground_truth_gets_the_best_scores_and_the_source_the_worst(clips):
    truths, sources = (score_rendered_clips(clips, which, Settings()) for which in ("ground_truth", "source"))
    for scores in truths:
        assert scores.correlation > 0.93 and scores.lag == 0 and scores.psnr == float("inf") and scores.flicker == 1
    assert max(scores.correlation for scores in sources) < 0.6
