"""A part of a video is what a straight decode shows then, in any order, whatever the codec; nothing is copied."""

import logging
from fractions import Fraction

import av
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media.read.video_part import VideoPart

FPS = 25
BEGIN, SECONDS = Fraction("1.6"), Fraction("0.4")  # of 2.4 s: pictures 40 to 49
SHOWN = 10
KINDS = {
    "h264 with B-frames": ("a.mp4", {"options": {"g": "30", "bf": "3"}}),
    "h264 open groups": ("b.mkv", {"options": {"x264-params": "keyint=20:open-gop=1:bframes=4:b-adapt=0"}}),
    "one key frame": ("c.mp4", {"options": {"g": "600", "sc_threshold": "0"}}),
    "vp8": ("d.webm", {"codec": "libvpx"}),
    "prores": ("e.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
    "gif": ("f.gif", {"codec": "gif", "pixel_format": "rgb8"}),
    "avi": ("g.avi", {"codec": "mpeg4"}),
}


def equal(a, b):
    return all((x == y).all() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_a_straight_decode_shows_then(kind, make_clip, decode_all, planes_of, caplog):
    name, how = KINDS[kind]
    path = make_clip(name, frames=60, size=(64, 48), **how)
    truth = [picture for picture in decode_all(path) if BEGIN <= picture.time < BEGIN + SECONDS]
    order = [*range(len(truth)), *range(len(truth) - 1, -1, -1), 7, 3, 3, 9]
    with caplog.at_level(logging.WARNING), VideoPart(path, BEGIN, SECONDS) as reader:
        shown = [(frame.index, frame.picture) for frame in reader.frames_at(order)]
        assert next(reader.frames(len(truth)), None) is None
        assert reader.times == reader.scan_times() == tuple(Fraction(i, FPS) for i in range(SHOWN))
        assert reader.start == BEGIN
        assert reader.info.duration == pytest.approx(float(SECONDS))
    assert [index for index, _ in shown] == order
    assert all(equal(planes_of(picture), planes_of(truth[index])) for index, picture in shown)
    assert caplog.messages == []  # what follows the part is not missing


def test_without_seconds_it_ends_with_the_file(make_clip):
    with VideoPart(make_clip("a.mp4", frames=60, size=(64, 48)), BEGIN) as reader:
        assert len(list(reader.frames())) == 20


def test_what_lies_before_is_not_decoded(make_clip):
    path = make_clip("a.mp4", frames=60, size=(64, 48), options={"g": "10"})
    with av.open(str(path)) as container:
        first = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][:10]
    content = bytearray(path.read_bytes())
    for position, size in first:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    with VideoPart(path, BEGIN, SECONDS) as reader:
        assert len(list(reader.frames())) == SHOWN
        assert reader.damaged == 0


def test_a_part_after_the_end_is_refused_in_a_sentence(make_clip):
    with VideoPart(make_clip("a.mp4"), Fraction(5)) as reader, pytest.raises(LatentSyncError, match="from 5 s on"):
        next(reader.frames())
