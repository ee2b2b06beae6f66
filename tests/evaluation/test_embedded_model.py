"""The embedded model lip-syncs held-out words and voices, from file to file, as the face mesh measures it."""

import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation import evaluate_clip, make_evaluation_clips
from latentsync_core.evaluation.evaluation_clips import score_clip
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
LEAST_CORRELATION = 0.8


def test_the_mouth_follows_a_held_out_voice_and_no_other(tmp_path):
    try:
        clip, other = make_evaluation_clips(2, seconds=3.2)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    settings = Settings(steps=10, reuse=3, reuse_null=6)
    dubbed = evaluate_clip(clip, load_models("embedded", device="cpu"), settings, tmp_path)
    scores = score_clip(clip, dubbed, [other.ground_truth.opening])
    assert scores.correlation > LEAST_CORRELATION and abs(scores.lag) <= 1
    assert scores.shuffled < 0.2 and scores.psnr > 25
    assert scores.opening_range > 0.4  # 0.7 is what the mesh measures in the ground truth
