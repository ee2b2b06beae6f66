"""Tracking a reader's frames in their own pixel format gives the very track of the same frames as RGB arrays."""

from pathlib import Path

import numpy as np
import pytest

from latentsync_core.demo import CLIP
from latentsync_core.faces import FaceTrack, track_faces
from latentsync_core.faces.networks.nets import FaceNets
from latentsync_core.faces.tracking.people import track_people
from latentsync_core.media import VideoReader

SHARED = Path(__file__).resolve().parents[4] / "shared" / "media"


@pytest.fixture(scope="module")
def nets() -> FaceNets:
    return FaceNets()


def assert_equal(found: FaceTrack, expected: FaceTrack) -> None:
    arrays = expected.to_arrays()
    for name, array in found.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_the_track_is_that_of_rgb_arrays_and_few_frames_are_converted(nets):
    with VideoReader(CLIP) as reader:
        frames = list(reader.frames(0, 30))
    track = track_faces(frames, nets=nets)
    converted = [frame.index for frame in frames if "_rgb" in vars(frame)]
    assert 0 < len(converted) <= 4  # where the detector looked at the whole picture
    assert_equal(track, track_faces([frame.rgb() for frame in frames], nets=nets))


def test_everybody_is_found_in_native_frames_too(nets):
    with VideoReader(CLIP) as reader:
        found = track_people(reader.frames(0, 12), nets=nets)
        expected = track_people((frame.rgb() for frame in reader.frames(0, 12)), nets=nets)
    assert len(found.persons) == len(expected.persons) == 1
    assert_equal(found.persons[0].track, expected.persons[0].track)


@pytest.mark.long
@pytest.mark.parametrize("name", ["demo1", "demo3"])
def test_recorded_speakers_have_the_same_track(nets, name):
    path = SHARED / f"{name}_video.mp4"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    with VideoReader(path) as reader:
        found = track_faces(reader.frames(0, 60), nets=nets)
        expected = track_faces((frame.rgb() for frame in reader.frames(0, 60)), nets=nets)
    assert_equal(found, expected)
