"""Whole clips: drawn speakers are recovered exactly, other voices score low, what cannot be measured is refused."""

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import track_faces
from latentsync_core.media import VideoReader, read_waveform
from latentsync_core.scoring.lip_sync import lip_sync
from latentsync_core.scoring.mouth import mouth_shape
from latentsync_core.scoring.score_files import ScoreInputs, score_files
from latentsync_core.scoring.voice import voice_mouth
from latentsync_core.scoring.words import summary, table
from latentsync_core.training.synthetic.clips import ClipRecipe, SyntheticClip, synthetic_clips, write_clip
from latentsync_core.training.synthetic.scripts import cut_speech

pytestmark = pytest.mark.long

FRAME = 640  # samples at 16 kHz of one frame at 25 fps


@pytest.fixture(scope="module")
def speakers():
    """Two drawn speakers, each with its mouth's shape as the mesh sees it."""
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    try:
        clips = list(synthetic_clips(ClipRecipe(seed=11, seconds=4.0), 2))
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    return [(clip, mouth_shape(track_faces(clip.frames).mesh)) for clip in clips]


def sync_of(shape, waveform: np.ndarray):
    return lip_sync(shape, np.arange(len(shape.opening)) / 25, voice_mouth(waveform, "a voice"))[0]


def test_every_shift_of_the_sound_is_recovered_exactly(speakers):
    clip, shape = speakers[0]
    for late in range(-10, 11):
        waveform = np.roll(clip.speech.waveform, late * FRAME)
        waveform[: max(late, 0) * FRAME] = 0
        waveform[len(waveform) + min(late, 0) * FRAME :] = 0
        sync = sync_of(shape, waveform)
        assert sync.offset_frames == late and sync.confidence > 0.4, (late, sync)


def test_the_own_voice_beats_another(speakers):
    (first, shape), (second, other_shape) = speakers
    for own, other, lips in ((first, second, shape), (second, first, other_shape)):
        right, wrong = sync_of(lips, own.speech.waveform), sync_of(lips, other.speech.waveform)
        assert right.correlation > 0.8 > 0.5 > wrong.correlation
        assert right.agreement > 2 * wrong.agreement and right.confidence > 2 * wrong.confidence


def test_two_readings_of_a_file_beside_its_source_give_the_same_numbers(speakers, tmp_path):
    clip = first_seconds(speakers[0][0], 1.6)
    source, painted = tmp_path / "source.mp4", tmp_path / "painted.mp4"
    write_clip(clip, source)
    spoiled = clip.frames.copy()
    spoiled[:, :40, :40] = 255 - spoiled[:, :40, :40]  # a corner that no lip-sync may touch
    write_clip(replace(clip, frames=spoiled), painted)
    same, again = (score_files(ScoreInputs(source, source=source)).score for _ in range(2))
    assert same.to_dict() == again.to_dict()
    assert same.to_dict()["source"]["outside_psnr"] is None and same.source.outside_changed == 0
    assert same.source.identity < 1e-6 and "on time" in summary(same) and "Nothing else" in summary(same)
    changed = score_files(ScoreInputs(painted, source=source)).score
    assert changed.source.outside_changed > 0.01 and "painted over" not in summary(changed)
    assert "PSNR of all else" in table(changed)


def first_seconds(clip: SyntheticClip, seconds: float) -> SyntheticClip:
    return replace(clip, frames=clip.frames[: round(25 * seconds)], speech=cut_speech(clip.speech, seconds))


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(LatentSyncError, match="no sound to be compared with"):
        score_files(ScoreInputs(CLIP))
    silent = tmp_path / "silent.wav"
    write_wave(silent, np.zeros(32000, np.int16))
    with pytest.raises(LatentSyncError, match="silent"):
        score_files(ScoreInputs(CLIP, silent))


def write_wave(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())


def test_a_silent_portrait_does_not_follow_a_voice():
    score = score_files(ScoreInputs(CLIP, VOICE)).score
    assert score.sync.agreement < 0.24 and summary(score).startswith("The mouth does not follow")


@pytest.mark.parametrize("name, other", [("demo1", "demo3"), ("demo3", "demo1")])
def test_filmed_speakers_agree_with_their_own_sound(footage, name, other):
    video = footage / f"{name}_video.mp4"
    with VideoReader(video) as reader:
        shape = mouth_shape(track_faces(frame.rgb() for frame in reader.frames()).mesh)
        times = np.array([float(time) for time in reader.times[: len(shape.opening)]])
    sounds = video, footage / f"{other}_video.mp4", footage / f"{name}_audio.wav"
    own, *wrong = (lip_sync(shape, times, voice_mouth(read_waveform(path), path.name))[0] for path in sounds)
    assert abs(own.offset_frames) <= 2
    assert all(own.agreement > sync.agreement and own.confidence > sync.confidence for sync in wrong)
