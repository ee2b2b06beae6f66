"""A file with several voices: the default one, or the one asked for, and a list of them where none fits."""

from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import probe_audio, read_waveform, stream_audio

TRACKS = [("eng", 48000, "mono", 440), ("deu", 44100, "stereo", 880), ("eng", 48000, "5.1", 1320)]  # ..., tone in Hz


@pytest.fixture(params=[("talk.mkv", "flac"), ("talk.mp4", "aac")], ids=["mkv", "mp4"])
def talk(request, tmp_path):
    """A second of video with three audio tracks, the second of which is marked as the default."""
    name, codec = request.param
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        streams = []
        for index, (language, rate, layout, _) in enumerate(TRACKS):
            stream = container.add_stream(codec, rate=rate, layout=layout)
            stream.metadata["language"] = language
            stream.disposition = av.stream.Disposition.default if index == 1 else av.stream.Disposition(0)
            streams.append(stream)
        for index in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8))
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for stream, (_, rate, layout, tone) in zip(streams, TRACKS, strict=True):
            wave = 0.4 * np.sin(2 * np.pi * tone * np.arange(rate) / rate)
            samples = np.repeat(wave[None], av.AudioLayout(layout).nb_channels, axis=0).astype(np.float32)
            block = av.AudioFrame.from_ndarray(samples, "fltp", layout)
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(block))
            container.mux(stream.encode(None))
    return path


def tone_of(waveform: np.ndarray) -> float:
    """The strongest frequency in Hz of a second at 16 kHz."""
    return float(np.abs(np.fft.rfft(waveform[:16000])).argmax())


@pytest.mark.parametrize(("wanted", "number"), [(None, 2), (1, 1), ("2", 2), ("3", 3), ("DEU", 2)])
def test_the_track_asked_for_is_heard(talk, wanted, number):
    language, rate, layout, tone = TRACKS[number - 1]
    info = probe_audio(talk, wanted)
    assert (info.track, info.tracks, info.language) == (number, 3, language)
    assert (info.sample_rate, info.channels) == (rate, av.AudioLayout(layout).nb_channels)
    assert tone_of(read_waveform(talk, track=wanted)) == pytest.approx(tone, abs=2)
    assert {block.sample_rate for block in info.blocks()} == {rate}
    assert next(stream_audio(talk, wanted)).sample_rate == rate


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [("4", "no audio track is '4'; choose one of them"), ("0", "no audio track is"), ("fra", "no audio track is 'fra'")]
    + [("eng", "2 audio tracks are 'eng'; choose one by its number"), ("-1", "no audio track is")],
)
def test_what_is_there_is_listed_where_the_wish_does_not_fit(talk, wanted, fault):
    with pytest.raises(LatentSyncError) as refusal:
        probe_audio(talk, wanted)
    told = str(refusal.value)
    assert fault in told and "1 (eng, mono, 48000 Hz" in told and "2 (deu, stereo, 44100 Hz" in told
