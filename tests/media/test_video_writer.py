"""The result: every sample where it should be, the sound in time, and nothing left behind when it fails."""

import os
import subprocess
import sys
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
    apply_edit,
    probe_audio,
    probe_video,
    stream_audio,
    to_rgb,
    waveform_blocks,
)

FAST = EncodeSettings(preset="ultrafast")


def copy_video(source, target, settings=FAST, frames=None, **how):
    """Write a video's own pictures again."""
    with VideoReader(source) as reader, VideoWriter(target, reader.info, settings, **how) as writer:
        for frame in reader.frames(0, frames):
            writer.write(frame.picture, *([frame.time] if how.get("times_given") else []))
    return target


def sound_of(path):
    """float (samples, channels)"""
    pieces = []
    for block in stream_audio(path):
        samples = block.to_ndarray()
        channels = len(block.layout.channels)
        pieces.append(samples.T if block.format.is_planar else samples.reshape(-1, channels))
    return np.concatenate(pieces)


def only_file(folder, *names):
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


LOSSLESS = {
    "h264": ("a.mp4", EncodeSettings(lossless=True, preset="ultrafast"), ["yuv420p", "yuv444p", "yuv422p10le"]),
    "hevc": ("a.mp4", EncodeSettings(codec="hevc", lossless=True, preset="ultrafast"), ["yuv420p", "yuv420p10le"]),
    "ffv1": ("a.mkv", EncodeSettings(codec="ffv1"), ["yuv420p", "yuv444p", "yuv420p10le", "gray", "yuv440p", "bgr0"]),
}


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [(codec, name) for codec in LOSSLESS for name in LOSSLESS[codec][2]]
)
def test_lossless_edits_leave_every_other_sample(codec, pixel_format, make_clip, tmp_path, planes_of):
    name, settings, _ = LOSSLESS[codec]
    source = make_clip("source.mkv", codec="ffv1", frames=6, pixel_format=pixel_format)
    with VideoReader(source) as reader, VideoWriter(tmp_path / name, reader.info, settings) as writer:
        written = []
        for frame in reader.frames():
            before = frame.rgb()[11:31, 17:40]
            after = 255 - before
            edited = apply_edit(frame.picture, before, after, left=17, top=11)
            writer.write(edited)
            written.append((planes_of(frame.picture), planes_of(edited)))
    info = probe_video(tmp_path / name)
    assert info.pixel_format == pixel_format
    with VideoReader(tmp_path / name) as result:
        decoded = [planes_of(frame.picture) for frame in result.frames()]
    assert len(decoded) == 6
    for planes, (source_planes, edited_planes) in zip(decoded, written, strict=True):
        for now, was, edited in zip(planes, source_planes, edited_planes, strict=True):
            assert (now == edited).all()
            down, across = 48 // now.shape[0], 64 * (4 if pixel_format == "bgr0" else 1) // now.shape[1]
            outside = np.ones(now.shape, bool)
            scale = 4 if pixel_format == "bgr0" else 1
            outside[11 // down : -(-31 // down), 17 * scale // across : -(-40 * scale // across)] = False
            assert (now[outside] == was[outside]).all()
            assert (now != was).any()


def test_rgb_survives_lossless_h264(make_clip, tmp_path):
    source = make_clip("source.mkv", codec="ffv1", frames=3, pixel_format="bgr0")
    target = copy_video(source, tmp_path / "rgb.mp4", EncodeSettings(lossless=True))
    with VideoReader(source) as a, VideoReader(target) as b:
        assert all((x.rgb() == y.rgb()).all() for x, y in zip(a.frames(), b.frames(), strict=True))


def test_the_full_range_of_yuvj_survives(make_clip, tmp_path, planes_of):
    source = make_clip("full.mp4", frames=4, pixel_format="yuvj420p")
    assert probe_video(source).full_range
    for name, settings in (
        ("a.mp4", FAST),
        ("b.mkv", EncodeSettings(codec="ffv1")),
        ("c.mov", replace(FAST, codec="hevc")),
    ):
        target = copy_video(source, tmp_path / name, settings)
        assert probe_video(target).full_range and probe_video(target).color_range == 2, name
        with VideoReader(source) as a, VideoReader(target) as b:
            difference = [
                np.abs(x.rgb().astype(int) - y.rgb()).mean() for x, y in zip(a.frames(), b.frames(), strict=True)
            ]
        assert max(difference) < 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_rate_size_tags_and_pixel_shape_carry_over(name, make_clip, tmp_path):
    colors = {"color_range": 1, "colorspace": 6, "color_primaries": 6, "color_trc": 6}
    rate = Fraction(30000, 1001)
    source = make_clip("source.mp4", frames=20, fps=rate, colors=colors, aspect=Fraction(4, 3))
    copy_video(source, tmp_path / name)
    was, now = probe_video(source), probe_video(tmp_path / name)
    for field in (
        "width",
        "height",
        "color_range",
        "color_space",
        "color_primaries",
        "color_trc",
        "sample_aspect_ratio",
    ):
        assert getattr(was, field) == getattr(now, field), field
    assert now.codec == "h264" and now.pixel_format == "yuv420p" and not now.has_audio
    with VideoReader(tmp_path / name) as reader:
        assert len(list(reader.frames())) == 20
        tolerance = Fraction(0) if name != "a.mkv" else Fraction(1, 1000)  # Matroska counts milliseconds
        assert all(abs(time - i / rate) <= tolerance for i, time in enumerate(reader.times))
    assert abs(now.fps - rate) < (Fraction(1, 100) if name == "a.mkv" else Fraction(1, 10**9))


def test_an_untagged_source_stays_untagged(make_clip, tmp_path):
    info = probe_video(copy_video(make_clip("plain.mp4", frames=2), tmp_path / "a.mp4"))
    assert (info.color_range in (0, 1), info.color_space, info.color_primaries, info.color_trc) == (True, 2, 2, 2)


def test_the_index_comes_first(make_clip, tmp_path):
    data = copy_video(make_clip("source.mp4"), tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_variable_times_are_kept_and_the_sound_lasts_as_long(make_clip, make_wav, speech, tmp_path):
    ticks = [0, 40, 80, 200, 240, 290, 500, 540, 580, 900]
    source = make_clip("phone.mp4", frames=10, ticks=ticks)
    voice = make_wav("voice.wav", speech(3.0, 48000), 48000)
    copy_video(source, tmp_path / "a.mp4", times_given=True, audio=voice)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert [frame.time * 1000 for frame in reader.frames()] == ticks
        assert reader.info.duration == pytest.approx(1.22)  # the last picture lasts as long as the one before
    assert len(sound_of(tmp_path / "a.mp4")) == round(1.22 * 48000)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0])
@pytest.mark.parametrize(
    ("name", "settings", "rate", "codec"),
    [
        ("a.mp4", FAST, 44100, "aac"),
        ("a.mov", FAST, 16000, "aac"),
        ("a.mkv", replace(FAST, audio_codec="flac"), 48000, "flac"),
        ("a.mov", replace(FAST, audio_codec="pcm"), 44100, "pcm_s16le"),
        ("a.mp4", replace(FAST, audio_codec="alac"), 22050, "alac"),
        ("a.mp4", replace(FAST, audio_codec="flac"), 22050, "flac"),
        ("a.mp4", FAST, 192000, "alac"),
        ("a.mkv", FAST, 192000, "flac"),
        ("a.mp4", replace(FAST, lossless=True), 44100, "alac"),
        ("a.mkv", EncodeSettings(codec="ffv1"), 44100, "flac"),
        ("a.mp4", FAST, 8000, "aac"),
    ],
)
def test_the_voice_is_as_long_as_the_pictures_and_in_time(
    seconds, name, settings, rate, codec, make_clip, make_wav, speech, tmp_path
):
    source = make_clip("source.mp4", frames=50)  # 2 s
    samples = np.stack([speech(seconds, rate), speech(seconds, rate, seed=2)], 1)
    copy_video(source, tmp_path / name, settings, audio=make_wav("voice.wav", samples, rate))
    info = probe_audio(tmp_path / name)
    assert (info.codec, info.sample_rate, info.channels) == (codec, rate, 2)
    expected = np.zeros((2 * rate, 2), np.int16)
    expected[: len(samples)] = samples[: 2 * rate]
    sound = sound_of(tmp_path / name)
    assert len(sound) == 2 * rate
    if codec == "aac":
        assert np.sqrt(np.mean((sound - expected / 32768) ** 2)) < 0.02
        for lag in (-2, -1, 1, 2):
            rolled = np.roll(sound, lag, axis=0)
            assert np.mean((sound - expected / 32768) ** 2) < np.mean((rolled - expected / 32768) ** 2)
    else:
        assert (sound == expected).all()


def test_deep_and_float_samples_survive_lossless(make_clip, tmp_path):
    waveform = np.random.default_rng(0).uniform(-1, 1, (1, 8000)).astype(np.float32)
    source = make_clip("source.mp4", frames=25)
    settings = EncodeSettings(codec="ffv1")
    copy_video(source, tmp_path / "a.mkv", settings, audio=waveform_blocks(waveform, 8000))
    assert (sound_of(tmp_path / "a.mkv").T == waveform).all()


def test_surround_keeps_its_channels(make_clip, tmp_path, speech):
    waveform = np.stack([speech(1.0, 48000, seed) for seed in range(6)]).astype(np.float32) / 40000
    copy_video(make_clip("source.mp4", frames=25), tmp_path / "a.mp4", audio=waveform_blocks(waveform, 48000))
    info = probe_audio(tmp_path / "a.mp4")
    assert (info.codec, info.layout) == ("aac", "5.1")
    decoded = sound_of(tmp_path / "a.mp4")
    assert np.corrcoef(decoded[:48000, 2], waveform[2])[0, 1] > 0.99


def test_a_duration_may_be_given(make_clip, make_wav, speech, tmp_path):
    copy_video(
        make_clip("source.mp4", frames=25),
        tmp_path / "a.mkv",
        EncodeSettings(codec="ffv1"),
        audio=make_wav("voice.wav", speech(3)),
        duration=Fraction(9, 10),
    )
    assert len(sound_of(tmp_path / "a.mkv")) == 0.9 * 16000


def test_another_rate_may_be_given(make_clip, tmp_path):
    copy_video(make_clip("source.mp4", frames=10), tmp_path / "a.mp4", fps=Fraction(10))
    info = probe_video(tmp_path / "a.mp4")
    assert info.fps == 10 and info.duration == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48)])
def test_odd_sizes_grow_by_their_edge_or_stay_with_ffv1(size, make_clip, tmp_path, caplog):
    source = make_clip("odd.mkv", frames=3, size=size, codec="ffv1")
    kept = probe_video(copy_video(source, tmp_path / "kept.mkv", EncodeSettings(codec="ffv1")))
    assert (kept.width, kept.height) == size and "grows" not in caplog.text
    copy_video(source, tmp_path / "grown.mp4", EncodeSettings(crf=1))
    grown = probe_video(tmp_path / "grown.mp4")
    assert (grown.width, grown.height) == (64, 48) and "grows to 64x48" in caplog.text
    with VideoReader(source) as a, VideoReader(tmp_path / "grown.mp4") as b:
        was, now = next(a.frames()).rgb(), next(b.frames()).rgb()
    assert np.abs(now[: size[1], : size[0]].astype(int) - was).mean() < 3
    source = make_clip("odd444.mkv", frames=2, size=size, codec="ffv1", pixel_format="yuv444p")
    kept = probe_video(copy_video(source, tmp_path / "kept.mp4", EncodeSettings(lossless=True)))
    assert (kept.width, kept.height) == size


@pytest.mark.parametrize(
    ("pixel_format", "colors"),
    [
        ("yuv422p", {}),
        ("yuv444p", {"color_range": 2}),
        ("yuv420p10le", {}),
        ("yuv420p10le", {"color_range": 2}),
        ("yuv422p10le", {}),
        ("gray", {}),
        ("bgr0", {}),
    ],
)
def test_any_source_becomes_ordinary_h264_in_the_same_colours(pixel_format, colors, make_clip, tmp_path):
    colors = {"colorspace": 1, **colors} if pixel_format[0] == "y" else {}
    source = make_clip("source.mkv", codec="ffv1", frames=2, pixel_format=pixel_format, colors=colors)
    copy_video(source, tmp_path / "a.mp4", EncodeSettings(crf=1))
    info = probe_video(tmp_path / "a.mp4")
    assert info.pixel_format.replace("j", "") == "yuv420p"
    with VideoReader(source) as a, VideoReader(tmp_path / "a.mp4") as b:
        was, now = next(a.frames()).rgb().astype(int), next(b.frames()).rgb().astype(int)
    assert np.abs(was.mean((0, 1)) - now.mean((0, 1))).max() < 1.5
    assert np.abs(was.mean(2) - now.mean(2)).mean() < 2.5


def test_hevc_keeps_ten_bits_and_apples_tag(make_clip, tmp_path):
    source = make_clip("deep.mkv", codec="ffv1", frames=2, pixel_format="yuv422p10le")
    target = copy_video(source, tmp_path / "a.mp4", replace(FAST, codec="hevc"))
    assert probe_video(target).pixel_format == "yuv420p10le" and b"hvc1" in target.read_bytes()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_clips_of_a_frame_or_a_few(codec, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4", frames=4), make_wav("voice.wav", speech(1))
    for frames in (1, 2, 3, 4):
        for attempt in range(10):  # what the encoder reads by mistake differs from one to the next
            name = f"{frames}-{attempt}.mp4"
            target = copy_video(source, tmp_path / name, replace(FAST, codec=codec), frames=frames, audio=voice)
        with VideoReader(target) as reader:
            assert [frame.time for frame in reader.frames()] == [Fraction(i, 25) for i in range(frames)]


def test_high_dynamic_range_is_not_squeezed_into_8_bits(make_clip, tmp_path):
    colors = {"colorspace": 9, "color_primaries": 9, "color_trc": 16}
    source = make_clip("hdr.mkv", codec="ffv1", frames=2, pixel_format="yuv420p10le", colors=colors)
    with pytest.raises(LatentSyncError, match=r"hdr.mkv: .*PQ.*choose the codec hevc"):
        copy_video(source, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
    info = probe_video(copy_video(source, tmp_path / "a.mp4", replace(FAST, codec="hevc")))
    assert (info.bit_depth, info.color_trc, info.color_primaries, info.color_space) == (10, 16, 9, 9)


def test_what_codec_and_container_cannot_do_is_refused(make_clip, make_wav, speech, tmp_path):
    source = make_clip("source.mp4", frames=2)
    voice = make_wav("voice.wav", speech(0.5))
    tall = make_clip("tall.mkv", codec="ffv1", frames=1, pixel_format="yuv440p")
    for name, settings, clip, reason in (
        ("a.mp4", EncodeSettings(codec="ffv1"), source, "FFV1 cannot be written to .mp4"),
        ("a.mp4", EncodeSettings(audio_codec="pcm"), source, "pcm audio cannot be written to .mp4"),
        ("a.mp4", EncodeSettings(lossless=True), tall, "cannot keep its pixel format yuv440p"),
    ):
        with pytest.raises(LatentSyncError, match=reason):
            copy_video(clip, tmp_path / name, settings, audio=voice)
        assert only_file(tmp_path, "source.mp4", "voice.wav", "tall.mkv")
    for wrong in ({"codec": "vp9"}, {"crf": 60}, {"preset": "quick"}, {"audio_codec": "mp3"}):
        with pytest.raises(LatentSyncError, match="choose"):
            EncodeSettings(**wrong)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(failure, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4"), make_wav("voice.wav", speech(1))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"the result of yesterday")
    with VideoReader(source) as reader, pytest.raises(failure):
        with VideoWriter(folder / "old.mp4", reader.info, FAST, audio=voice, overwrite=True) as writer:
            for frame in reader.frames():
                writer.write(frame.picture)
                assert len(list(folder.iterdir())) == 2
                if frame.index == 5:
                    raise failure
    assert only_file(folder, "old.mp4") and (folder / "old.mp4").read_bytes() == b"the result of yesterday"


def test_a_result_replaces_only_when_asked(make_clip, tmp_path):
    source = make_clip("source.mp4")
    (tmp_path / "old.mp4").write_bytes(b"old")
    with pytest.raises(LatentSyncError, match="exists already"):
        copy_video(source, tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"old"
    assert probe_video(copy_video(source, tmp_path / "old.mp4", overwrite=True)).frames == 12
    with pytest.raises(LatentSyncError, match="same file as the input"):
        copy_video(source, source, overwrite=True)
    assert only_file(tmp_path, "source.mp4", "old.mp4")


def test_no_pictures_no_file(make_clip, tmp_path):
    with pytest.raises(LatentSyncError, match="not one picture was written"):
        copy_video(make_clip("source.mp4"), tmp_path / "a.mp4", frames=0)
    assert only_file(tmp_path, "source.mp4")


@pytest.mark.parametrize("name", ["a" * 246 + ".mp4", "ein schöner 'Film' \"neu\" 影.mp4", "a:b.mov", "100%d.mkv"])
def test_any_name_is_written(name, make_clip, make_wav, speech, tmp_path):
    if os.name != "posix" and set(name) & set(':"'):
        pytest.skip("no such names here")
    target = copy_video(make_clip("source.mp4"), tmp_path / name, audio=make_wav("v.wav", speech(1)))
    assert probe_video(target).has_audio and only_file(tmp_path, "source.mp4", "v.wav", name)


def test_pictures_are_left_as_they_are_and_misuse_is_told(make_clip, tmp_path):
    with VideoReader(make_clip("source.mp4")) as reader:
        with VideoWriter(tmp_path / "a.mp4", reader.info, FAST) as writer:
            frame = next(reader.frames())
            stamp = frame.picture.pts, frame.picture.time_base
            for _ in range(3):  # the same picture again, as in a hold
                writer.write(frame.picture)
            assert (frame.picture.pts, frame.picture.time_base) == stamp
            with pytest.raises(ValueError, match="a time belongs"):
                writer.write(frame.picture, Fraction(1))
            with pytest.raises(ValueError, match="a picture of 8x8"):
                writer.write(av.VideoFrame(8, 8, "yuv420p"))
        assert probe_video(tmp_path / "a.mp4").frames == 3


DISK_FULL = """
import resource, signal, sys
import numpy as np, av
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
source, target, limit, voice = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    with VideoReader(source) as reader, VideoWriter(target, reader.info, EncodeSettings(crf=1), audio=voice) as writer:
        for frame in reader.frames_at(list(range(12)) * 10):
            writer.write(frame.picture)
except LatentSyncError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("name", ["full.mp4", "full.mkv"])
def test_a_full_disk_is_told_and_cleaned_up(name, make_clip, make_wav, speech, tmp_path):
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE is not None
    source, voice = make_clip("source.mp4", size=(160, 120)), make_wav("voice.wav", speech(5))
    command = [sys.executable, "-c", DISK_FULL, str(source), str(tmp_path / name), "100000000", str(voice)]
    assert subprocess.run(command, timeout=60).returncode == 0
    whole = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    for limit in (20, whole // 4, whole - 3000, whole - 10):  # early, midway, and only the index does not fit
        command = [sys.executable, "-c", DISK_FULL, str(source), str(tmp_path / name), str(limit), str(voice)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 2, (limit, result.stderr)
        assert name in result.stdout and "the disk is full" in result.stdout and result.stdout.count("\n") == 1
        assert only_file(tmp_path, "source.mp4", "voice.wav")


def test_memory_does_not_grow_with_length(make_clip, make_wav, speech, tmp_path):
    resource = pytest.importorskip("resource")
    source = make_clip("source.mp4", frames=12, size=(640, 480))
    voice = make_wav("voice.wav", speech(30))

    def write(frames):
        with (
            VideoReader(source) as reader,
            VideoWriter(tmp_path / f"{frames}.mkv", reader.info, FAST, audio=voice) as w,
        ):
            for index in range(frames):
                w.write(next(reader.frames_at([index % 12])).picture)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = write(100)
    assert write(600) - first < 40_000  # KiB; 500 pictures of this size are 230 MB


def test_real_footage_edited(footage, tmp_path, planes_of):
    source = footage / "demo1_video.mp4"
    settings = EncodeSettings(codec="ffv1")
    with VideoReader(source) as reader:
        info = replace(reader.info)
        with VideoWriter(tmp_path / "a.mkv", info, settings, audio=footage / "demo1_audio.wav") as writer:
            originals = []
            for frame in reader.frames(0, 4):
                before = frame.rgb()[700:1100, 300:700]
                after = np.ascontiguousarray(before[:, ::-1])
                writer.write(apply_edit(frame.picture, before, after, left=300, top=700))
                originals.append(planes_of(frame.picture))
    with VideoReader(tmp_path / "a.mkv") as result:
        for frame in result.frames():
            for now, was in zip(planes_of(frame.picture), originals[frame.index], strict=True):
                scale = 1920 // now.shape[0]
                now[700 // scale : 1100 // scale, 300 // scale : 700 // scale] = 0
                was[700 // scale : 1100 // scale, 300 // scale : 700 // scale] = 0
                assert (now == was).all()
    assert len(sound_of(tmp_path / "a.mkv")) == 4 * 640


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_same_pictures_give_the_same_file_whatever_memory_holds(codec, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4", frames=50, size=(160, 120)), make_wav("voice.wav", speech(2))
    code = (
        "import sys\n"
        "from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter\n"
        "source, voice, target, codec = sys.argv[1:]\n"
        "settings = EncodeSettings(codec=codec, preset='fast')\n"
        "with VideoReader(source) as reader, VideoWriter(target, reader.info, settings, audio=voice) as writer:\n"
        "    for frame in reader.frames():\n"
        "        writer.write(frame.picture)\n"
    )
    files = []
    for filling in ("0", "85", "165"):  # glibc fills fresh memory with this byte
        target = tmp_path / f"{filling}.mp4"
        command = [sys.executable, "-c", code, str(source), str(voice), str(target), codec]
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "MALLOC_PERTURB_": filling})
        files.append(target.read_bytes())
    assert files[0] == files[1] == files[2]


def test_tagged_colours_look_the_same_in_the_result(make_clip, tmp_path):
    for code in (1, 6, 9):
        source = make_clip(f"{code}.mkv", codec="ffv1", frames=1, colors={"colorspace": code}, size=(64, 48))
        target = copy_video(source, tmp_path / f"{code}.mp4", EncodeSettings(crf=1))
        with VideoReader(source) as a, VideoReader(target) as b:
            was, now = next(a.frames()), next(b.frames())
            assert int(now.picture.colorspace) == code
            assert np.abs(to_rgb(was.picture).astype(int) - now.rgb()).mean() < 2
