"""Every sound a recorder makes goes in and comes out: read as mono for the model, written sample by sample."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import (
    EncodeSettings,
    VideoReader,
    VideoWriter,
    probe_audio,
    read_waveform,
    stream_audio,
)

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]  # Hz
DEPTHS = {"pcm_u8": "u8", "pcm_s16le": "s16", "pcm_s24le": "s32", "pcm_f32le": "flt"}  # codec of the wav, as decoded
FAST = EncodeSettings(preset="ultrafast")


@pytest.fixture
def record(tmp_path):
    """``record(rate, layout, codec)`` -> 0.4 s of a wav whose channels are tones of 200, 300, ... Hz."""

    def make(rate: int, layout: str = "mono", codec: str = "pcm_s16le"):
        path = tmp_path / f"{codec}.wav"
        count = av.AudioLayout(layout).nb_channels
        t = np.arange(round(0.4 * rate)) / rate
        tones = np.stack([0.5 * np.sin(2 * np.pi * (200 + 100 * channel) * t) for channel in range(count)])
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            block = av.AudioFrame.from_ndarray(tones.astype(np.float32), "fltp", layout)
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            for piece in av.AudioResampler(format=stream.codec_context.format.name, layout=layout).resample(block):
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def written(make_clip, tmp_path):
    """``written(voice, "a.mkv", settings)`` -> a video of 0.4 s with that voice."""

    def write(voice, name: str, settings: EncodeSettings = FAST):
        with VideoReader(make_clip("source.mp4", frames=10)) as reader:
            with VideoWriter(tmp_path / name, reader.info, settings, audio=voice) as writer:
                for frame in reader.frames():
                    writer.write(frame.picture)
        return tmp_path / name

    return write


def samples(path) -> np.ndarray:
    """(samples, channels) as decoded; whole numbers scaled to 32 bits, so that depths compare."""
    pieces = []
    for block in stream_audio(path):
        values = block.to_ndarray()
        values = values.T if block.format.is_planar else values.reshape(-1, len(block.layout.channels))
        if values.dtype == np.uint8:
            values = (values.astype(np.int64) - 128) << 24
        elif values.dtype.kind == "i":
            values = values.astype(np.int64) << (32 - 8 * values.itemsize)
        pieces.append(values)
    return np.concatenate(pieces)


@pytest.mark.parametrize("rate", RATES)
def test_any_rate_is_heard_and_kept_sample_by_sample(rate, record, written):
    voice = record(rate)
    assert abs(len(read_waveform(voice)) - 0.4 * 16000) <= 1
    for name, codec in (("a.mkv", "pcm"), ("b.mkv", "flac"), ("a.mov", "alac")):
        path = written(voice, name, replace(FAST, audio_codec=codec))
        assert probe_audio(path).sample_rate == rate
        assert np.array_equal(samples(path), samples(voice)), (name, codec)


@pytest.mark.parametrize("codec", DEPTHS)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_any_channels_at_any_depth_are_heard_and_kept(layout, codec, record, written):
    voice = record(48000, layout, codec)
    info = probe_audio(voice)
    assert info.layout.replace("(side)", "") == layout and info.sample_format == DEPTHS[codec]
    assert np.abs(read_waveform(voice)[800:-800]).max() > 0.1
    lossless = {"mkv": "pcm"} if codec == "pcm_f32le" else {"mkv": "flac", "mov": "pcm", "mp4": "alac"}
    for extension, name in lossless.items():
        path = written(voice, f"a.{extension}", replace(FAST, audio_codec=name))
        assert probe_audio(path).channels == info.channels
        assert np.array_equal(samples(path), samples(voice)), (extension, name)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("rate", RATES)
def test_an_ordinary_mp4_has_aac_up_to_96_khz_and_is_lossless_beyond(rate, layout, record, written, caplog):
    voice = record(rate, layout)
    path = written(voice, "a.mp4")
    info = probe_audio(path)
    assert (info.codec, info.sample_rate) == ("aac" if rate <= 96000 else "alac", rate)
    assert info.channels == av.AudioLayout(layout).nb_channels
    assert ("aac cannot hold" in caplog.text) == (rate > 96000)
    heard, expected = read_waveform(path), read_waveform(voice)
    assert abs(len(heard) - len(expected)) <= 16  # a millisecond
    length = min(len(heard), len(expected))
    assert np.corrcoef(heard[:length], expected[:length])[0, 1] > 0.98


def test_more_channels_than_can_be_converted_are_refused(make_wav):
    path = make_wav("desk.wav", np.zeros((1600, 65)))
    with pytest.raises(LatentSyncError, match="65 channels, up to 64"):
        read_waveform(path)
