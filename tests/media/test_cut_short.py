"""A truncated file keeps its constant rate: what is missing before its last pictures is shown by their neighbours."""

from fractions import Fraction

import av
import av.error
import pytest
from hurt import remux

from latentsync_core.media import VideoReader, is_variable

pytestmark = pytest.mark.long

SOURCES = {
    "pyramid": {"bf": "3", "g": "50", "x264-params": "b-adapt=0:b-pyramid=normal"},
    "B-frames": {"bf": "2", "g": "50"},
    "no B-frames": {"bf": "0", "g": "50"},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Whole files by (kind, extension), 60 frames each."""
    return tmp_path_factory.mktemp("whole"), {}


def whole(sources, make_clip, kind, extension):
    folder, made = sources
    if (kind, extension) not in made:
        clip = make_clip("a.mp4", frames=60, size=(96, 64), options=SOURCES[kind])
        options = {"movflags": "+faststart"} if extension == "mp4" else {}
        made[kind, extension] = remux(clip, folder / f"{kind}.{extension}", options)
    return made[kind, extension]


def decodable(path) -> int:
    """Pictures that a plain decode gives."""
    count = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        try:
            for packet in container.demux(video=0):
                try:
                    count += len(packet.decode())
                except av.error.InvalidDataError:
                    continue
        except av.error.FFmpegError:
            pass  # where the container ends
    return count


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_constant_source_cut_anywhere_stays_constant(kind, extension, sources, make_clip, tmp_path):
    path = whole(sources, make_clip, kind, extension)
    data = path.read_bytes()
    for percent in (45, 50, 57, 68, 80, 91):
        cut = tmp_path / f"{percent}.{extension}"
        cut.write_bytes(data[: len(data) * percent // 100])
        with VideoReader(cut) as reader:
            frames = sum(1 for _ in reader.frames())
            assert list(reader.times) == [Fraction(index, 25) for index in range(frames)]
            assert not is_variable(reader.times, reader.info.fps) and reader.info.fps == 25
            assert frames - reader.damage.replaced + reader.damage.dropped >= decodable(cut) > 5
            assert reader.damage.replaced <= 5  # only between the last pictures


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
def test_the_hole_at_the_end_is_no_hole_backwards_either(extension, sources, make_clip, tmp_path):
    data = whole(sources, make_clip, "pyramid", extension).read_bytes()
    cut = tmp_path / f"cut.{extension}"
    cut.write_bytes(data[: len(data) * 57 // 100])
    with VideoReader(cut) as reader:
        forwards = [frame.rgb().copy() for frame in reader.frames()]
        for frame in reader.frames_at([*range(len(forwards) - 1, -1, -1), *range(len(forwards))]):
            assert frame.time == Fraction(frame.index, 25) and (frame.rgb() == forwards[frame.index]).all()


def test_a_whole_file_whose_last_picture_stays_long_is_left_alone(make_clip):
    ticks = [*range(0, 800, 40), 1000]
    with VideoReader(make_clip("late.mp4", frames=21, ticks=ticks, options={"bf": "2"})) as reader:
        assert len(list(reader.frames())) == 21 and reader.damaged == 0
        assert reader.times[-1] == 1
