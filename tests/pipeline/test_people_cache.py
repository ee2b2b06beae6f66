"""Everybody in a clip comes back from the disk as they were, with the track that a run of the command line finds."""

import numpy as np
import pytest

from latentsync_core.demo import CLIP
from latentsync_core.disk_cache import DiskCache
from latentsync_core.faces import FaceNets, parse_face, track_numbered
from latentsync_core.faces.tracking.people import People
from latentsync_core.media import VideoReader
from latentsync_core.pipeline.people_cache import cached_people
from latentsync_core.pipeline.plan import TrackedSource
from latentsync_core.pipeline.run_cache import cached_track

FRAMES = 5


@pytest.fixture(scope="module")
def found() -> tuple[TrackedSource, People]:
    """The demo's portrait, as the only person."""
    with VideoReader(CLIP) as reader:
        frames = (frame.rgb() for frame in reader.frames(0, FRAMES))
        track, people = track_numbered(frames, parse_face("auto"), nets=FaceNets("cpu"))
        return TrackedSource(track, reader.times[:FRAMES], True, {}), people


def arrays_of(people: People) -> list[dict[str, np.ndarray]]:
    return [person.track.to_arrays() for person in people.persons]


def test_everybody_and_the_track_come_back(found, tmp_path):
    made, key = [], {"video": "digest"}
    for _ in range(2):
        tracked, people = cached_people(DiskCache(tmp_path), key, lambda: made.append(True) or found)
        assert people.count == FRAMES and people.best_detection == pytest.approx(found[1].best_detection)
        assert [person.number for person in people.persons] == [1] and people.cuts == found[1].cuts
        for name, array in arrays_of(found[1])[0].items():
            assert np.array_equal(arrays_of(people)[0][name], array, equal_nan=True)
        assert np.array_equal(tracked.track.mesh, found[0].track.mesh) and tracked.times == found[0].times
    assert len(made) == 1
    again = cached_track(DiskCache(tmp_path), key, None, lambda: pytest.fail("the track is there"))
    assert np.array_equal(again.track.mesh, found[0].track.mesh)


def test_a_track_without_the_others_is_not_enough_to_number_them(found, tmp_path):
    key = {"video": "digest"}
    cached_track(DiskCache(tmp_path), key, None, lambda: found[0])
    made = []
    people = cached_people(DiskCache(tmp_path), key, lambda: made.append(True) or found)[1]
    assert len(made) == 1 and len(people.persons) == 1
