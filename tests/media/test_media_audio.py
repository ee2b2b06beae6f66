"""The voice arrives sample by sample, at its own rate for the writer and as honest mono for the model."""

from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import check_voice, probe_audio, read_waveform, stream_audio, waveform_blocks


def encode(path, blocks, codec, rate, layout="mono", options=None):
    """Write float planar blocks (channels, samples) with the encoder's own sample format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options or {})
        position = 0
        for samples in blocks:
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", layout)
            block.sample_rate, block.pts, block.time_base = rate, position, Fraction(1, rate)
            position += samples.shape[1]
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


def lag_and_likeness(a, b, reach=400):
    """The shift in samples at which b is most like a, and the correlation there."""
    length = min(len(a), len(b)) - 2 * reach
    core = a[reach : reach + length].astype(float)
    scores = [np.corrcoef(core, b[reach + lag : reach + lag + length])[0, 1] for lag in range(-reach, reach)]
    best = int(np.argmax(scores))
    return best - reach, scores[best]


def joined(blocks):
    return np.concatenate([block.to_ndarray().reshape(len(block.layout.channels), -1, order="F").T for block in blocks])


def test_the_samples_of_a_wav_are_its_own(make_wav, speech):
    samples = np.stack([speech(0.7, 44100), speech(0.7, 44100, seed=2)], axis=1)
    path = make_wav("stereo.wav", samples, 44100)
    info = probe_audio(path)
    assert (info.sample_rate, info.channels, info.layout, info.sample_format) == (44100, 2, "stereo", "s16")
    assert (info.samples, info.codec) == (len(samples), "pcm_s16le") and info.seconds == pytest.approx(0.7)
    blocks = list(stream_audio(path))
    assert (joined(blocks) == samples).all() and {block.sample_rate for block in blocks} == {44100}


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
def test_the_waveform_is_as_long_as_the_recording(rate, make_wav, speech):
    samples = speech(1.234, rate)
    waveform = read_waveform(make_wav("voice.wav", samples, rate))
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert abs(len(waveform) - len(samples) / rate * 16000) <= 1
    assert 0.2 < np.abs(waveform).max() <= 1


def test_a_recording_at_the_model_rate_is_not_resampled(make_wav, speech):
    samples = speech(1.1)
    assert (read_waveform(make_wav("voice.wav", samples)) == samples.astype(np.float32) / 32768).all()


@pytest.mark.parametrize("rate", [44100, 48000, 8000])
def test_resampling_moves_nothing(rate, make_wav):
    click = np.zeros(rate)
    click[rate // 2 - 40 : rate // 2 + 41] = np.hanning(81) * 30000
    waveform = read_waveform(make_wav("click.wav", click, rate))
    assert abs(int(np.argmax(waveform)) - 8000) <= 1


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.m4a", "aac", 44100),
        ("a.mp4", "aac", 48000),
        ("a.m4a", "aac", 16000),
        ("a.mka", "aac", 48000),
        ("a.mp3", "libmp3lame", 44100),
        ("a.ogg", "libvorbis", 44100),
        ("a.opus", "libopus", 48000),
        ("a.flac", "flac", 44100),
    ],
)
def test_encoders_delays_are_taken_off(name, codec, rate, tmp_path, speech):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    samples = speech(1.5, rate)
    voice = samples.astype(np.float32)[None] / 32768
    path = encode(tmp_path / name, [voice[:, :20000], voice[:, 20000:]], codec, rate)
    decoded = joined(stream_audio(path))[:, 0]
    decoded = decoded / 32768.0 if decoded.dtype != np.float32 else decoded
    if codec == "aac" and name.endswith(".mka") and av.library_versions["libavcodec"][0] < 62:
        pytest.skip("FFmpeg before 8 does not write AAC's delay to Matroska")
    lag, likeness = lag_and_likeness(voice[0], decoded)
    assert lag == 0 and likeness > 0.98
    if not name.endswith(".mka"):  # Matroska does not say where AAC ends within its last packet
        assert len(decoded) == len(samples)
        assert abs(len(read_waveform(path)) - 1.5 * 16000) <= 1


def test_a_video_is_a_voice_too(make_clip, speech):
    sound = speech(1.0, 48000) / 32768
    waveform = read_waveform(make_clip("talk.mp4", frames=25, sound=sound))
    assert abs(len(waveform) - 16000) <= 1
    assert np.corrcoef(waveform[:15999], sound[: 3 * 15999 : 3])[0, 1] > 0.99


def test_stereo_is_averaged_and_never_clips(make_wav):
    left, right = np.full(8000, 30000), np.full(8000, 10000)
    waveform = read_waveform(make_wav("two.wav", np.stack([left, right], 1)))
    assert np.allclose(waveform, 20000 / 32768, atol=1e-4)
    loud = np.full((8000, 2), 32767)
    assert read_waveform(make_wav("loud.wav", loud)).max() == pytest.approx(32767 / 32768, abs=1e-4)


def test_surround_is_mixed_as_the_standard_says(tmp_path):
    order = ["FL", "FR", "FC", "LFE", "BL", "BR"]
    for channel, share in zip(order, [0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5], strict=True):
        voice = np.zeros((6, 8000), np.float32)
        voice[order.index(channel)] = 0.5
        path = encode(tmp_path / f"{channel}.wav", [voice], "pcm_s16le", 16000, "5.1")
        expected = 0.5 * share / (0.7071 * 2 + 1.0 + 0.5 * 2)
        assert np.abs(read_waveform(path) - expected).max() < 1e-3, channel


def test_a_wav_that_names_no_channels_counts_them(make_wav, speech):
    assert probe_audio(make_wav("one.wav", speech(0.1))).layout == "mono"
    assert probe_audio(make_wav("two.wav", np.stack([speech(0.1)] * 2, 1))).layout == "stereo"


@pytest.mark.parametrize(("name", "codec", "seconds"), [("hurt.mp4", "flac", 3), ("hurt.mka", "flac", 20)])
def test_damaged_sound_keeps_its_length(name, codec, seconds, tmp_path, speech, caplog):
    voice = speech(seconds, 8000).astype(np.float32)[None] / 32768
    path = encode(tmp_path / name, [voice], codec, 8000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    blocks = list(stream_audio(path))
    decoded = np.concatenate([block.to_ndarray()[0] for block in blocks]) / 2.0 ** (8 * blocks[0].format.bytes - 1)
    assert len(decoded) == voice.shape[1]
    assert np.abs(decoded[-4000:] - voice[0, -4000:]).max() < 1e-3  # what follows is where it was
    assert "are missing" in caplog.text


def test_silence_and_nothing_are_refused(make_wav, speech):
    path = make_wav("quiet.wav", np.zeros(16000))
    with pytest.raises(LatentSyncError, match=r"quiet.wav: the recording is silent \(every sample is zero\)"):
        check_voice(read_waveform(path), path)
    path = make_wav("hiss.wav", np.random.default_rng(0).integers(-20, 20, 16000))
    with pytest.raises(LatentSyncError, match=r"silent \(its loudest sample is -6\d dBFS\)"):
        check_voice(read_waveform(path), path)
    with pytest.raises(LatentSyncError, match="nothing.wav"):
        read_waveform(make_wav("nothing.wav", []))
    with pytest.raises(LatentSyncError, match="empty"):
        check_voice(np.zeros(0, np.float32), "nothing.wav")
    whisper = make_wav("soft.wav", speech(0.5) // 100)
    check_voice(read_waveform(whisper), whisper)


@pytest.mark.parametrize("share", [0.99, 0.8])
def test_channels_that_cancel_out_give_way_to_the_louder_one(share, make_wav, speech, caplog):
    voice = speech(1.0)
    path = make_wav("wired.wav", np.stack([-share * voice, voice], 1))
    heard = read_waveform(path)
    check_voice(heard, path)
    np.testing.assert_allclose(heard, read_waveform(make_wav("mono.wav", voice)), atol=1e-4)
    assert caplog.text.count("wired.wav: its channels cancel out") == 1 and "channel 2" in caplog.text


def test_channels_that_only_differ_are_mixed_as_ever(make_wav, speech, caplog):
    voice, other = speech(1.0), np.random.default_rng(1).permutation(speech(1.0))
    for right in (voice, other, 0 * voice, -voice // 3):
        heard = read_waveform(make_wav("two.wav", np.stack([voice, right], 1)))
        np.testing.assert_allclose(heard, (voice + right) / 2 / 32768, atol=1e-4)
    assert "cancel" not in caplog.text


def test_a_pair_that_cancels_out_within_surround_is_not_lost(tmp_path, speech, caplog):
    voice = speech(0.5) / 32768
    silent = np.zeros_like(voice)
    path = encode(tmp_path / "a.mka", [np.stack([voice, -voice, *[silent] * 4])], "pcm_f32le", 16000, "5.1")
    np.testing.assert_allclose(read_waveform(path), voice, atol=1e-4)
    assert "channel 1" in caplog.text


def test_a_waveform_in_memory_becomes_blocks():
    waveform = np.random.default_rng(0).uniform(-1, 1, (2, 10000)).astype(np.float32)
    blocks = list(waveform_blocks(waveform, 44100))
    assert (np.concatenate([block.to_ndarray() for block in blocks], axis=1) == waveform).all()
    assert {(block.sample_rate, block.layout.name) for block in blocks} == {(44100, "stereo")}
