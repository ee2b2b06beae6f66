"""A run keeps together what a player shows together: a white frame and a click, from the source into the result."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.demo import CLIP
from latentsync_core.diffusion import Guidance
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

RATE = 16_000  # Hz
WHITE = 3  # the source frame that is white
CLICK = 0.24  # seconds after the sound's own start
FAST = Settings(steps=1, guidance=Guidance(1.0), encode=EncodeSettings(codec="ffv1", audio_codec="pcm"))


@pytest.fixture(scope="module")
def models():
    return load_models("embedded", device="cpu")


def write(path: Path, picture: float, *sounds: float) -> Path:
    """Ten frames of the demo's face, one of them white, and sounds of 0.4 s with a click, each from its own start."""
    samples = (np.random.default_rng(0).standard_normal(round(0.4 * RATE)) * 300).astype(np.int16)
    samples[round(CLICK * RATE)] = 30_000
    with av.open(str(path), "w") as container, VideoReader(CLIP) as reader:
        video = container.add_stream("ffv1", rate=25, width=512, height=512, pix_fmt="yuv420p")
        tracks = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in sounds]
        for frame in reader.frames(0, 10):
            shown = frame.picture
            if frame.index == WHITE:
                shown = av.VideoFrame.from_ndarray(np.full((512, 512, 3), 255, np.uint8)).reformat(format="yuv420p")
            shown.pts, shown.time_base = frame.index + round(picture * 25), Fraction(1, 25)
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
        for track, start in zip(tracks, sounds, strict=True):
            block = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            block.sample_rate, block.time_base, block.pts = RATE, Fraction(1, RATE), round(start * RATE)
            container.mux([*track.encode(block), *track.encode(None)])
    return path


def clicks_after_white(path: Path) -> list[float]:
    """Seconds from the white frame to every click, by the time stamps of what is decoded."""
    white, clicks = None, []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if white is None and frame.to_ndarray(format="gray").mean() > 225:
                white = frame.pts * frame.time_base
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray()[0].astype(float) / (32768 if frame.format.name == "s16" else 1)) > 0.5
            clicks += [float(frame.pts * frame.time_base) + int(place) / RATE for place in np.flatnonzero(loud)]
    return [click - float(white) for click in clicks]


@pytest.mark.parametrize(("picture", "sound"), [(0.0, 0.2), (0.2, 0.04)], ids=["late sound", "late picture"])
def test_video_and_voice_of_one_file_stay_together(picture, sound, models, tmp_path):
    source = write(tmp_path / "talk.mkv", picture, sound)
    report = lipsync(source, source, tmp_path / "out.mkv", models, FAST)
    (before,), (after,) = clicks_after_white(source), clicks_after_white(tmp_path / "out.mkv")
    assert after == pytest.approx(before, abs=0.001)
    first = min(picture, sound)
    expected = {
        "picture_start": pytest.approx(picture - first),
        "sound_start": pytest.approx(sound - first),
        "silence_before": pytest.approx(max(sound - picture, 0)),
        "sound_cut": pytest.approx(max(picture - sound, 0)),
    }
    assert report.to_dict()["inputs"]["starts"] == {"video": expected, "audio": expected}
    assert report.voice["seconds"] == pytest.approx(0.4 + sound - picture, abs=0.001)


def test_another_rate_a_chosen_track_and_an_mp4_keep_the_place_too(models, tmp_path):
    """Frames of 1/50 s show the white frame at its own time; AAC's delay is in the result's edit list."""
    source = write(tmp_path / "talk.mkv", 0.08, 0.12, 0.2)
    settings = {**vars(FAST), "rate": Fraction(50), "audio_track": "2", "encode": EncodeSettings()}
    lipsync(source, source, tmp_path / "out.mp4", models, Settings(**settings))
    expected = CLICK + 0.2 - (0.08 + WHITE / 25)
    clicks = clicks_after_white(tmp_path / "out.mp4")
    assert clicks and np.allclose(clicks, expected, atol=0.002)  # the codec spreads a click of one sample


def test_a_voice_from_another_file_begins_as_late_as_there_and_a_mix_keeps_both(models, tmp_path):
    source = write(tmp_path / "video.mkv", 0.0, 0.12)
    voice = write(tmp_path / "voice.mkv", 0.0, 0.04)
    lipsync(source, voice, tmp_path / "out.mkv", models, Settings(**{**vars(FAST), "sound": "mix"}))
    expected = [CLICK + start - WHITE / 25 for start in (0.04, 0.12)]
    assert clicks_after_white(tmp_path / "out.mkv") == pytest.approx(expected, abs=0.001)
