"""A damaged video has as many frames, at the same times, as the whole one; what is lost is counted and listed."""

import json
import logging
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hurt import blank_packets, hurt_packets, packets_of

from latentsync_core.media import VideoReader
from latentsync_core.media.read.damage import LISTED_FRAMES, Damage

LONG = {"frames": 60, "size": (160, 120)}
CLIPS = {
    "h264 mp4": ("a.mp4", {**LONG, "options": {"g": "15", "bf": "2"}}),
    "h264 mkv": ("b.mkv", {**LONG, "options": {"g": "15", "bf": "2"}}),
    "mpeg4 mp4": ("c.mp4", {**LONG, "codec": "mpeg4", "options": {"g": "12"}}),
    "mpeg4 avi": ("d.avi", {**LONG, "codec": "mpeg4", "options": {"g": "12"}}),
    "ffv1 mkv": ("e.mkv", {**LONG, "codec": "ffv1", "options": {"level": "3", "slicecrc": "1", "g": "1"}}),
    "hevc mp4": ("f.mp4", {**LONG, "codec": "libx265", "options": {"x265-params": "keyint=15:log-level=none"}}),
}
HEALTHY = {
    **CLIPS,
    "vp8 with hidden pictures": (
        "g.webm",
        {**LONG, "codec": "libvpx", "options": {"auto-alt-ref": "1", "cpu-used": "8"}},
    ),
    "mpeg2 fields": ("h.mkv", {**LONG, "codec": "mpeg2video", "options": {"flags": "+ilme+ildct", "bf": "2"}}),
    "mpeg2 ts": ("i.ts", {**LONG, "codec": "mpeg2video", "options": {"bf": "2"}}),
    "late start": ("j.mkv", {"frames": 4, "ticks": [1000, 1040, 1500, 1540]}),
}


def read(path) -> tuple[list[tuple], VideoReader]:
    """(index, time, picture) of every frame, and the reader."""
    with VideoReader(path) as reader:
        return [(frame.index, frame.time, frame.rgb().copy()) for frame in reader.frames()], reader


def same(first, second) -> bool:
    return all(a[:2] == b[:2] and (a[2] == b[2]).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", HEALTHY)
def test_a_whole_file_has_no_damage(kind, make_clip, decode_all, caplog):
    name, how = HEALTHY[kind]
    path = make_clip(name, **how)
    frames, reader = read(path)
    assert len(frames) == len(decode_all(path)) == how["frames"]
    assert reader.damage == Damage() and caplog.text == ""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", CLIPS)
def test_corrupt_packets_cost_no_frame_and_move_none(kind, seed, make_clip, tmp_path):
    name, how = CLIPS[kind]
    path = make_clip(name, **how)
    whole, _ = read(path)
    numbers = random.Random(seed).sample(range(60), 4)
    frames, reader = read(hurt_packets(path, tmp_path / f"hurt-{name}", numbers, seed))
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in whole]
    assert len(reader.damage.frames) == reader.damaged == reader.damage.replaced + reader.damage.incomplete
    if "h264" in kind or "mpeg4" in kind:  # these decoders tell what they conceal
        assert reader.damaged > 0


@pytest.mark.parametrize("kind", ["h264 mp4", "h264 mkv", "mpeg4 mp4"])
def test_every_order_shows_the_same_frames_of_a_damaged_file(kind, make_clip, tmp_path):
    name, how = CLIPS[kind]
    path = hurt_packets(make_clip(name, **how), tmp_path / f"hurt-{name}", [9, 22, 40, 41], seed=5)
    with VideoReader(path) as reader:

        def frames(indices):
            return [(frame.index, frame.time, frame.rgb().copy()) for frame in reader.frames_at(indices)]

        forwards = [(frame.index, frame.time, frame.rgb().copy()) for frame in reader.frames()]
        counted = reader.damaged
        assert counted > 0
        assert same(forwards, frames(range(60)))
        assert same(forwards[::-1], frames(range(59, -1, -1)))
        assert same([forwards[index] for index in (50, 3, 22, 23)], frames([50, 3, 22, 23]))
        assert reader.damaged == counted
    assert same(forwards, read(path)[0])


def test_a_lost_frame_shows_the_last_good_one_at_its_own_time(make_clip, tmp_path, caplog):
    path = make_clip("own.mkv", frames=20, codec="mjpeg", pixel_format="yuvj420p")  # every packet a picture of its own
    whole, _ = read(path)
    with caplog.at_level(logging.WARNING):
        frames, reader = read(blank_packets(path, tmp_path / "hurt.mkv", [5, 6, 12]))
    shown = [0, 1, 2, 3, 4, 4, 4, 7, 8, 9, 10, 11, 11, 13, 14, 15, 16, 17, 18, 19]
    for (index, time, picture), source in zip(frames, shown, strict=True):
        assert time == Fraction(index, 25) and (picture == whole[source][2]).all(), index
    assert reader.damage == Damage(
        replaced=3,
        frames=[{"frame": index, "seconds": index / 25, "what": "replaced"} for index in (5, 6, 12)],
    )
    assert len(caplog.records) == 1
    assert "damaged from frame 5 on, at 0.20 s" in caplog.text and str(tmp_path / "hurt.mkv") in caplog.text


def test_lost_first_frames_show_the_first_good_one_and_lost_last_ones_the_last(make_clip, tmp_path):
    path = make_clip("ends.mkv", frames=12, codec="mjpeg", pixel_format="yuvj420p")
    whole, _ = read(path)
    path = blank_packets(path, tmp_path / "hurt.mkv", [0, 1, 10, 11])
    with VideoReader(path) as reader:
        for _ in range(2):  # learnt, and read again
            frames = list(reader.frames_at(range(12)))
            assert [frame.time for frame in frames] == [Fraction(index, 25) for index in range(12)]
            for frame, source in zip(frames, [2, 2, *range(2, 10), 9, 9], strict=True):
                assert (frame.rgb() == whole[source][2]).all()
        assert reader.damage.replaced == 4 and reader.info.frames is None


def test_a_concealed_frame_is_counted_and_kept(make_clip, tmp_path):
    path = make_clip("p.mp4", frames=40, size=(160, 120), options={"g": "40", "bf": "0"})
    frames, reader = read(hurt_packets(path, tmp_path / "hurt.mp4", [20], seed=1, spare=200))
    assert len(frames) == 40 and reader.damage.replaced == 0 and reader.damage.incomplete >= 1
    assert reader.damage.frames[0] == {"frame": 20, "seconds": 0.8, "what": "incomplete"}


def test_a_block_that_the_container_lost_leaves_no_hole(make_clip, tmp_path):
    """Matroska skips what it cannot parse without a word; the bytes in no packet and the constant rate tell."""
    path = make_clip("lost.mkv", frames=30, codec="ffv1", options={"g": "1"}, size=(96, 64))
    packets, data = packets_of(path), bytearray(path.read_bytes())
    start, size = packets[12]
    data[start - 6 : start + size] = bytes(6 + size)  # the block's own header too
    (tmp_path / "hurt.mkv").write_bytes(data)
    with av.open(str(tmp_path / "hurt.mkv")) as container:
        assert sum(1 for packet in container.demux(video=0) if packet.size) < 30
    frames, reader = read(tmp_path / "hurt.mkv")
    assert [frame[1] for frame in frames] == [Fraction(index, 25) for index in range(30)]
    assert reader.damage.replaced >= 1 and (frames[12][2] == frames[11][2]).all()


def test_times_of_a_variable_rate_stay_where_a_frame_is_lost(make_clip, tmp_path):
    ticks = [0, 40, 80, 200, 240, 290, 500, 540, 580, 900]
    path = make_clip("phone.mkv", frames=10, ticks=ticks, codec="mjpeg", pixel_format="yuvj420p")
    frames, reader = read(blank_packets(path, tmp_path / "hurt.mkv", [4]))
    assert [frame[1] * 1000 for frame in frames] == ticks and reader.damage.replaced == 1


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
def test_a_file_cut_short_gives_what_it_has_and_says_so(name, make_clip, tmp_path, caplog):
    path = make_clip(name, frames=100, options={"g": "10"}, size=(160, 120))
    if name.endswith("mp4"):  # with the index in front, as for the web
        moved = tmp_path / "front.mp4"
        with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "+faststart"}) as target:
            track = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = track
                    target.mux(packet)
        path = moved
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, reader = read(path)
    assert 20 < len(frames) < 80
    assert [frame[1] for frame in frames] == [Fraction(index, 25) for index in range(len(frames))]
    assert reader.damage.seconds_cut == pytest.approx(4 - len(frames) / 25, abs=0.1)
    assert "was truncated" in caplog.text and str(path) in caplog.text


def test_the_list_is_capped_and_the_count_is_not(caplog):
    damage = Damage()
    for index in range(LISTED_FRAMES + 50):
        damage.note(Path("a.mp4"), index, Fraction(index, 25), "lost", replaced=True)
    assert damage.replaced == LISTED_FRAMES + 50 and len(damage.frames) == LISTED_FRAMES
    assert len(caplog.records) == 1
    json.dumps(vars(damage))


def test_a_damaged_key_picture_of_another_size_is_no_change_of_size(make_clip, tmp_path):
    """VP8 states the size in every key picture: one that lies is damage, and the rest of the clip is used."""
    path = make_clip("size.webm", frames=30, codec="libvpx", options={"g": "10", "b": "2M"}, size=(96, 64))
    packets, data = packets_of(path), bytearray(path.read_bytes())
    start, _ = packets[10]
    with av.open(str(path)) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size][10]
    data[start + 10 : start + 12] = (112).to_bytes(
        2, "little"
    )  # the width, after the block's header, 3 bytes of tag and 3 of start code
    (tmp_path / "hurt.webm").write_bytes(data)
    frames, reader = read(tmp_path / "hurt.webm")
    assert len(frames) == 30 and all(frame[2].shape == (64, 96, 3) for frame in frames)
    assert reader.damage.replaced >= 10 and np.array_equal(frames[10][2], frames[9][2])
