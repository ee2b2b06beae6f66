"""One tracker, two searches: what each costs, and the settings that all of them share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import (
    FaceNets,
    TrackingSettings,
    parse_face,
    track_faces,
    track_numbered,
    track_people,
    track_selected,
)
from latentsync_core.faces.detect import FaceDetector
from latentsync_core.faces.tracking.everybody import SEARCH_INTERVAL
from latentsync_core.faces.tracking.main_face import CHECK_INTERVAL

FRAMES = 2 * CHECK_INTERVAL + 1


@pytest.fixture(scope="module")
def nets() -> FaceNets:
    return FaceNets("cpu")


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parents[1] / "astronaut.jpg"))


@pytest.fixture(scope="module")
def pair(portrait) -> np.ndarray:
    """Two people, the larger one on the left."""
    frame = np.full((352, 632, 3), 60, np.uint8)
    frame[:, :352] = portrait
    frame[72:, 352:] = np.array(Image.fromarray(portrait).resize((280, 280)))[:, ::-1]
    return frame


@pytest.fixture
def detector_runs(monkeypatch) -> list[int]:
    """The pictures of every run of the detector's networks."""
    runs, detect = [], FaceDetector._detect_parts

    def counted(self, network, parts):
        runs.append(len(parts))
        return detect(self, network, parts)

    monkeypatch.setattr(FaceDetector, "_detect_parts", counted)
    return runs


def test_while_one_face_is_followed_the_detector_only_checks_it_now_and_then(portrait, nets, detector_runs):
    assert track_faces([portrait] * FRAMES, nets=nets).counts()["detected"] == FRAMES
    assert len(detector_runs) == 1 + (FRAMES - 1) // CHECK_INTERVAL


@pytest.mark.long
def test_newcomers_are_looked_for_only_where_everybody_is_wanted(pair, nets, detector_runs):
    alone = pair.copy()
    alone[:, 352:] = 60
    shares = np.linspace(0, 1, CHECK_INTERVAL)[:, None, None, None]
    frames = list(((1 - shares) * alone + shares * pair).astype(np.uint8))  # somebody fades in, without a cut
    track = track_faces(frames, nets=nets)
    assert track.cuts == () and track.boxes[:, 2].max() < 352 and len(detector_runs) == 1
    first, second = track_people(frames, nets=nets).persons
    assert first.frames[0] == 0 and second.frames[0] > 0 and second.frames[0] % SEARCH_INTERVAL == 0


def test_settings_are_given_at_once_or_by_name(pair, nets):
    right = TrackingSettings(region=(352, 0, 632, 352))
    assert track_faces([pair], settings=right, nets=nets).boxes[0, 0] > 352
    assert track_faces([pair], settings=right, region=None, nets=nets).boxes[0, 2] < 352
    with pytest.raises(LatentSyncError, match="No face"):
        track_faces([pair], settings=right, minimum_size=200, nets=nets)
    with pytest.raises(TypeError, match="smallest"):
        track_faces([pair], smallest=200, nets=nets)


def test_a_region_restricts_who_is_numbered_and_chosen(pair, nets):
    region = (352, 0, 632, 352)
    (person,) = track_people([pair] * 2, region=region, nets=nets).persons
    assert person.middle[0] > 352
    chosen = track_selected([pair] * 2, parse_face("largest"), region=region, nets=nets)
    np.testing.assert_array_equal(chosen.boxes, person.track.boxes)


@pytest.mark.parametrize("face", ["auto", "right"])
def test_numbers_and_the_chosen_track_come_from_one_pass_over_the_frames(pair, nets, face):
    calls = []
    frames = (pair for _ in range(3))
    track, people = track_numbered(
        frames, parse_face(face), nets=nets, max_gap=4, total=3, on_progress=lambda *call: calls.append(call)
    )
    assert calls == [(1, 3), (2, 3), (3, 3)] and len(people.persons) == 2
    alone = track_selected([pair] * 3, parse_face(face), nets=nets, max_gap=4)
    for name in ("points", "states", "scores"):
        np.testing.assert_array_equal(getattr(track, name), getattr(alone, name))
