"""Judges beside the mesh: SyncNet's numbers with our sign of the offset, and phones timed by a file or by espeak-ng."""

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
from latentsync_core.models.catalog import SYNCNET_V2
from latentsync_core.progress import Callbacks
from latentsync_core.scoring.judges import PhoneJudge, SyncNetJudge, judged, syncnet_judges
from latentsync_core.scoring.score_files import ScoreInputs, score_files
from latentsync_core.scoring.syncnet import voice_samples
from latentsync_core.scoring.words import table

pytestmark = pytest.mark.long

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def scored():
    """A rendered speaker of whom no training knows."""
    return score_files(ScoreInputs(DATA / "held_out.mp4"))


def test_syncnet_and_the_mesh_agree_on_a_speaker_in_sync(scored):
    score = judged(scored, [SyncNetJudge(DATA / "sync_net.safetensors")], Callbacks()).score.to_dict()
    assert score["offset_frames"] == 0 and abs(score["syncnet"]["offset_frames"]) <= 1
    assert score["sync_c"] > 1 and score["agreement"] > 0.6
    assert score["syncnet"]["crop"] == "mesh" and score["syncnet"]["tracks"][0]["frames"] >= 50


def test_an_offset_is_above_zero_where_the_sound_is_late_in_both(scored, tmp_path):
    late = ScoreInputs(DATA / "held_out.mp4", delayed(DATA / "held_out.mp4", tmp_path / "late.wav", frames=5))
    score = judged(score_files(late), [SyncNetJudge(DATA / "sync_net.safetensors")], Callbacks()).score.to_dict()
    assert score["offset_frames"] == 5 and abs(score["syncnet"]["offset_frames"] - 5) <= 1


def test_only_networks_whose_files_are_there_judge(tmp_path):
    assert syncnet_judges(tmp_path, "mesh", "cpu") == []
    (tmp_path / "latentsync").mkdir()
    shutil.copy(DATA / "sync_net.safetensors", tmp_path / "latentsync" / SYNCNET_V2.name)
    (judge,) = syncnet_judges(tmp_path, "s3fd", "cpu")
    assert isinstance(judge, SyncNetJudge) and judge.crop == "s3fd"


def test_timed_phones_are_judged_and_shown(scored, tmp_path):
    labels = tmp_path / "said.lab"
    labels.write_text("0.0 0.5 sil\n0.5 0.6 m\n0.6 0.9 aa\n0.9 1.0 p\n1.0 1.4 iy\n")
    score = judged(scored, [PhoneJudge(labels)], Callbacks()).score
    assert score.to_dict()["phones"]["closures"] == 2
    assert "share of p, b, m with the lips shut" in table(score)
    with pytest.raises(LatentSyncError, match="phone"):
        judged(scored, [PhoneJudge(DATA / "README.md")], Callbacks())


def delayed(video: Path, target: Path, frames: int) -> Path:
    """The sound of a clip, so many frames of 40 ms later."""
    samples = voice_samples(video)
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.pad(samples, (640 * frames, 0))[: len(samples)].tobytes())
    return target


def test_a_clip_too_short_for_syncnet_is_scored_without_it(tmp_path):
    with VideoReader(DATA / "held_out.mp4") as reader:
        info = reader.info
        with VideoWriter(tmp_path / "short.mkv", info, EncodeSettings("ffv1"), fps=info.fps) as writer:
            for frame in reader.frames(0, 30):
                writer.write(frame.picture)
    inputs = ScoreInputs(tmp_path / "short.mkv", DATA / "held_out.mp4")
    score = judged(score_files(inputs), [SyncNetJudge(DATA / "sync_net.safetensors")], Callbacks()).score.to_dict()
    assert "1.20 s" in score["syncnet"]["unmeasured"] and score["frames"] == 30
