"""One picture by its number is the one a straight decode shows, reached without decoding what lies before."""

from fractions import Fraction

import av
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import FrameTimes

KINDS = {
    "h264 with B-frames": ("a.mp4", {"options": {"g": "12", "bf": "3"}}),
    "vp8": ("d.webm", {"codec": "libvpx"}),
    "gif": ("f.gif", {"codec": "gif", "pixel_format": "rgb8"}),
    "uneven times": (
        "u.mkv",
        {"ticks": [0, 40, 90, 95, 200, 400, 410, 800, 840, 1000] + [1100 + 40 * i for i in range(20)]},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_picture_of_a_straight_decode(kind, make_clip, decode_all, planes_of):
    name, how = KINDS[kind]
    path = make_clip(name, frames=30, size=(64, 48), **how)
    truth = decode_all(path)
    clip = FrameTimes.of(path)
    assert len(clip) == len(truth) == 30 and (clip.info.width, clip.info.height) == (64, 48)
    for index in (0, 7, 29, 13):
        frame = clip.frame(index)
        assert (frame.index, frame.time) == (index, clip.times[index])
        assert all((a == b).all() for a, b in zip(planes_of(frame.picture), planes_of(truth[index]), strict=True))


def test_what_lies_before_is_not_decoded(make_clip):
    path = make_clip("a.mp4", frames=60, size=(64, 48), options={"g": "10"})
    clip = FrameTimes.of(path)
    whole = clip.frame(45)
    with av.open(str(path)) as container:
        early = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][1:30]
    content = bytearray(path.read_bytes())
    for position, size in early:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    assert (clip.frame(45).rgb() == whole.rgb()).all()


def test_a_number_beyond_the_end_and_a_file_that_is_no_video_are_refused(make_clip, tmp_path):
    clip = FrameTimes.of(make_clip("a.mp4", frames=4, size=(64, 48)))
    assert clip.times[3] == Fraction(3, 25)
    with pytest.raises(IndexError, match="frame 4 of .* it has 4"):
        clip.frame(4)
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(LatentSyncError, match="text file"):
        FrameTimes.of(tmp_path / "notes.mp4")
