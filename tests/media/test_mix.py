"""The voice added to the video's own sound: every sample in place, no clipping, any lengths, rates and channels."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.media import stream_audio
from latentsync_core.media.write.mix import mixed_blocks

RATE = 16_000


def tone(seconds: float, hertz: float, level: float = 0.3, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def write(path: Path, sound: np.ndarray | None, rate: int = RATE, late: float = 0.0, codec: str = "pcm_f32le") -> Path:
    """A Matroska file of a second of grey pictures, with a sound that begins `late` seconds after them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25, width=64, height=48, pix_fmt="yuv420p")
        layout = "mono" if sound is None or len(sound) == 1 else "stereo"
        audio = None if sound is None else container.add_stream(codec, rate=rate, layout=layout)
        for index in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8)).reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None:
            packed = np.ascontiguousarray(sound.T).reshape(1, -1)
            block = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), round(late * rate)
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def mixed(voice: np.ndarray, video: Path, tmp_path: Path, seconds, rate: int = RATE) -> tuple[np.ndarray, int, str]:
    """(channels, samples), rate and layout of the mix of a voice in memory and a file."""
    spoken = write(tmp_path / "voice.mkv", voice, rate)
    blocks = list(mixed_blocks(lambda: stream_audio(spoken), video, Fraction(seconds)))
    return np.concatenate([b.to_ndarray() for b in blocks], 1), blocks[0].sample_rate, blocks[0].layout.name


def test_both_sounds_are_added_sample_by_sample(tmp_path):
    own, voice = tone(1.0, 220), tone(0.5, 330)
    found, rate, layout = mixed(voice, write(tmp_path / "video.mkv", own), tmp_path, 1)
    expected = own.copy()
    expected[:, : voice.shape[1]] += voice
    assert (rate, layout) == (RATE, "mono")
    np.testing.assert_array_equal(found, expected)


def test_the_longer_sound_goes_on_alone_and_ends_with_the_picture(tmp_path):
    own, voice = tone(0.5, 220), tone(2.0, 330)
    found, *_ = mixed(voice, write(tmp_path / "video.mkv", own), tmp_path, "1.6")
    assert found.shape[1] == round(1.6 * RATE)
    np.testing.assert_array_equal(found[:, RATE // 2 :], voice[:, RATE // 2 : found.shape[1]])


def test_a_sound_that_begins_late_stays_late(tmp_path):
    own, voice = tone(0.5, 220), tone(0.2, 330)
    found, *_ = mixed(voice, write(tmp_path / "video.mkv", own, late=0.25), tmp_path, 1)
    late = RATE // 4
    assert not found[:, voice.shape[1] : late].any()
    np.testing.assert_array_equal(found[:, late : late + own.shape[1]], own)


def test_a_sum_beyond_full_scale_is_made_quieter_as_a_whole_and_said(tmp_path, caplog):
    own, voice = tone(1.0, 220, 0.9), tone(0.5, 220, 0.9)
    found, *_ = mixed(voice, write(tmp_path / "video.mkv", own), tmp_path, 1)
    expected = own.copy()
    expected[:, : voice.shape[1]] += voice
    assert np.abs(found).max() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(found, expected / np.abs(expected).max(), atol=1e-6)
    assert "5.1 dB quieter" in caplog.text


def test_the_finer_rate_and_the_more_channels_are_kept(tmp_path):
    own = np.concatenate([tone(1.0, 220, rate=48_000), tone(1.0, 440, rate=48_000)])
    voice = tone(1.0, 330, 0.2)
    found, rate, layout = mixed(voice, write(tmp_path / "video.mkv", own, 48_000), tmp_path, 1)
    assert (rate, layout) == (48_000, "stereo") and found.shape == (2, 48_000)
    spoken = found - own
    inner = slice(2_000, -2_000)
    np.testing.assert_allclose(spoken[0, inner], spoken[1, inner], atol=1e-6)  # in the middle
    np.testing.assert_allclose(spoken[0, inner], tone(1.0, 330, 0.2, 48_000)[0, inner], atol=2e-3)


def test_a_silent_video_leaves_the_voice_as_it_is(tmp_path, caplog):
    voice = tone(0.5, 330)
    found, *_ = mixed(voice, write(tmp_path / "video.mkv", None), tmp_path, 1)
    np.testing.assert_array_equal(found.reshape(1, -1), voice)
    assert "no sound of its own" in caplog.text
