"""Every frame is the one a straight decode gives, in whatever order it is asked for, at its true time."""

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader, is_variable, probe_video

LONG = {"frames": 90, "size": (64, 48)}
CLIPS = {
    "h264 with B-frames": ("a.mp4", {**LONG, "options": {"g": "30", "bf": "3"}}),
    "h264 open groups": ("b.mkv", {**LONG, "options": {"x264-params": "keyint=20:open-gop=1:bframes=4:b-adapt=0"}}),
    "h264 refreshed without key frames": ("c.mp4", {**LONG, "options": {"x264-params": "intra-refresh=1:keyint=15"}}),
    "hevc open groups": (
        "d.mp4",
        {
            **LONG,
            "codec": "libx265",
            "options": {
                "preset": "ultrafast",
                "x265-params": "keyint=20:open-gop=1:bframes=3:b-adapt=0:log-level=none",
            },
        },
    ),
    "mpeg-ts": ("e.ts", {**LONG, "options": {"g": "12"}}),
    "one key frame": ("f.mp4", {**LONG, "options": {"g": "600", "sc_threshold": "0"}}),
    "avi": ("g.avi", {**LONG, "codec": "mpeg4"}),
    "10 bits": ("h.mkv", {**LONG, "codec": "ffv1", "pixel_format": "yuv420p10le"}),
}


def equal(a, b):
    return all((x == y).all() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", CLIPS)
def test_any_order_gives_the_frames_of_a_straight_decode(kind, make_clip, decode_all, planes_of):
    name, how = CLIPS[kind]
    path = make_clip(name, **how)
    truth = [planes_of(picture) for picture in decode_all(path)]
    assert len(truth) == 90
    order = [*range(90), *range(88, -1, -1), *range(0, 40), 70, 5, 5, 5, 89, 33, 32, 31, 0]
    with VideoReader(path) as reader:
        frames = 0
        for index, frame in zip(order, reader.frames_at(order), strict=True):
            assert frame.index == index and frame.time == reader.times[index]
            assert equal(planes_of(frame.picture), truth[index]), f"frame {index}"
            frames += 1
        assert frames == len(order) and len(reader.times) == 90 and reader.damaged == 0


def test_a_lying_seek_is_noticed_and_survived(make_clip, decode_all, planes_of, caplog):
    path = make_clip("lying.mp4", frames=90, options={"g": "15"})
    truth = [planes_of(picture) for picture in decode_all(path)]
    with VideoReader(path) as reader:
        assert len(list(reader.frames())) == 90
        reader._checksums[60] ^= 1  # as if the first pass had shown another picture here
        with caplog.at_level(logging.WARNING):
            backwards = list(reader.frames_at(range(80, 40, -1)))
    assert "seeking gives other pictures" in caplog.text
    assert all(equal(planes_of(frame.picture), truth[frame.index]) for frame in backwards)


def test_a_repeated_frame_is_the_same_object_and_not_decoded_again(make_clip):
    with VideoReader(make_clip("hold.mp4")) as reader:
        first, *others = reader.frames_at([7] * 50)
        assert all(frame is first for frame in others)
        assert first.rgb() is others[-1].rgb()


def test_buffers_stay_bounded(make_clip):
    with VideoReader(make_clip("long.mp4", frames=200, options={"g": "250", "preset": "ultrafast"})) as reader:
        for _ in reader.frames_at([*range(200), *range(199, -1, -1), *range(200)]):
            assert len(reader._recent) <= 48


def test_ranges_and_ends(make_clip):
    with VideoReader(make_clip("ends.mp4", frames=10)) as reader:
        assert [frame.index for frame in reader.frames(4, 7)] == [4, 5, 6]
        assert [frame.index for frame in reader.frames(8)] == [8, 9]
        assert [frame.index for frame in reader.frames()] == list(range(10))
        with pytest.raises(IndexError, match="frame 10 .* it has 10"):
            list(reader.frames_at([10]))
        with pytest.raises(IndexError, match="the first is 0"):
            list(reader.frames_at([-1]))


def test_rate_and_times_of_a_constant_rate(make_clip):
    with VideoReader(make_clip("ntsc.mp4", frames=20, fps=Fraction(30000, 1001))) as reader:
        assert reader.scan_times() == tuple(Fraction(1001 * i, 30000) for i in range(20))
        frames = list(reader.frames())
        assert reader.info.fps == Fraction(30000, 1001) and reader.info.frames == 20
        assert [frame.time for frame in frames] == list(reader.times) == list(reader.scan_times())
        assert not is_variable(reader.times, reader.info.fps)


def test_times_of_a_variable_rate(make_clip):
    ticks = [0, 40, 80, 200, 240, 290, 500, 540, 580, 900]
    with VideoReader(make_clip("phone.mp4", frames=10, ticks=ticks)) as reader:
        assert reader.scan_times() == tuple(Fraction(tick, 1000) for tick in ticks)
        assert [frame.time * 1000 for frame in reader.frames()] == ticks
        assert is_variable(reader.times, reader.info.fps)


def test_a_late_start_counts_from_the_first_picture(make_clip):
    with VideoReader(make_clip("late.mkv", frames=3, ticks=[1000, 1040, 1080])) as reader:
        assert [frame.time for frame in reader.frames()] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_a_raw_stream_without_time_stamps_runs_at_its_rate(make_clip):
    with VideoReader(make_clip("raw.h264", frames=12, options={"bf": "0"})) as reader:
        assert len(list(reader.frames_at([*range(12), *range(11, -1, -1)]))) == 24
        assert not is_variable(reader.times, reader.info.fps)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp"])
def test_a_still_picture_is_a_video_of_one_frame(extension, tmp_path):
    from PIL import Image

    path = tmp_path / f"100%d fünf '.{extension}"
    Image.fromarray(np.full((30, 40, 3), (200, 100, 50), np.uint8)).save(path)
    with VideoReader(path) as reader:
        (frame,) = reader.frames_at([0])
        assert np.abs(frame.rgb().astype(int) - (200, 100, 50)).max() <= 3
        assert len(list(reader.frames())) == 1


def test_the_info_of_a_tagged_clip(make_clip):
    colors = {"color_range": 2, "colorspace": 5, "color_primaries": 6, "color_trc": 6}
    sound = np.zeros(48000)
    info = probe_video(
        make_clip("tags.mp4", frames=25, pixel_format="yuv422p", colors=colors, sound=sound, size=(66, 50))
    )
    assert (info.width, info.height, info.codec, info.fps, info.frames) == (66, 50, "h264", 25, 25)
    assert (info.color_range, info.color_space, info.color_primaries, info.color_trc) == (2, 5, 6, 6)
    assert (info.matrix, info.full_range, info.bit_depth, info.has_audio) == ("bt601", True, 8, True)
    assert info.duration == pytest.approx(1.0)
    deep = probe_video(make_clip("deep.mp4", frames=1, pixel_format="yuv420p10le", size=(64, 720)))
    assert (deep.bit_depth, deep.matrix, deep.full_range, deep.has_audio) == (10, "bt709", False, False)


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (63, 48)])
def test_odd_sizes(width, height, make_clip, decode_all, planes_of):
    path = make_clip("odd.mkv", frames=3, size=(width, height), codec="ffv1")
    truth = [planes_of(picture) for picture in decode_all(path)]
    with VideoReader(path) as reader:
        for frame in reader.frames():
            assert frame.rgb().shape == (height, width, 3) and equal(planes_of(frame.picture), truth[frame.index])


def test_a_change_of_size_is_refused(tmp_path):
    path = tmp_path / "resized.ts"
    for width in (64, 96):
        part = tmp_path / f"{width}.ts"
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            for index in range(5):
                picture = av.VideoFrame(width, 48, "yuv420p")
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        with open(path, "ab") as whole:
            whole.write(part.read_bytes())
    with VideoReader(path) as reader, pytest.raises(LatentSyncError, match="changes from 64x48 to 96x48 at frame 5"):
        list(reader.frames())


def test_real_footage(footage, decode_all, planes_of):
    path = footage / "demo1_video.mp4"
    with VideoReader(path) as reader:
        assert (reader.info.width, reader.info.height, reader.info.fps) == (1080, 1920, 25)
        assert reader.info.frames == len(reader.scan_times()) == 250
        frames = {frame.index: planes_of(frame.picture) for frame in reader.frames_at([0, 10, 40])}
        assert all(equal(planes_of(frame.picture), frames[frame.index]) for frame in reader.frames_at([40, 10, 0]))


@pytest.mark.long
def test_a_logging_ffmpeg_does_not_freeze_the_reader():
    """torchvision turns FFmpeg's log on at import; a decoder freed while its threads log must not wait for them."""
    program = (
        "import av, av.logging, logging; from latentsync_core.media import VideoReader; "
        "from latentsync_core.demo import CLIP; av.logging.set_level(av.logging.ERROR); logging.basicConfig()\n"
        "for _ in range(150):\n"
        "    with VideoReader(CLIP) as reader:\n"
        "        list(reader.frames(0, 3))\n"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr.decode()[-500:]
