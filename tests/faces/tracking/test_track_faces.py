"""Tracking through clips composed from one portrait: motion, gaps, cuts, other people, and clips without a face."""

import io
import itertools
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded import draw

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces.face_track import FaceState, FaceTrack, GapFilling
from latentsync_core.faces.tracking.track_faces import track_faces

FACE = (slice(52, 185), slice(112, 245))  # rows and columns of the portrait that show the face


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parents[1] / "astronaut.jpg"))


@pytest.fixture(scope="module")
def faceless(portrait) -> np.ndarray:
    """The portrait with something in front of the face."""
    covered = portrait.copy()
    covered[FACE] = portrait[200:333, 10:143]
    return covered


def pan(picture: np.ndarray, count: int, step: int = 2) -> list[np.ndarray]:
    """A camera that moves to the right: the face moves `step` pixels to the left from frame to frame."""
    return [picture[:300, step * i : step * i + 300] for i in range(count)]


def test_a_moving_face_is_found_in_every_frame_and_followed_exactly(portrait):
    track = track_faces(pan(portrait, 20))
    assert track.counts() == {"absent": 0, "detected": 20, "interpolated": 0}
    assert track.runs() == [(0, 20)] and track.cuts == () and (track.height, track.width) == (300, 300)
    assert track.scores.min() > 0.9
    still = track.points + 2 * np.arange(20)[:, None, None] * np.array([1, 0])  # in the portrait's coordinates
    assert np.abs(still - np.median(still, 0)).max() < 1.5
    assert np.sqrt((np.diff(still, axis=0) ** 2).sum(-1).mean()) < 0.5  # jitter in pixels


def test_result_has_the_promised_shapes_and_types(portrait):
    track = track_faces(pan(portrait, 3))
    assert [a.dtype for a in (track.points, track.mesh, track.boxes, track.scores)] == [np.float32] * 4
    assert track.states.dtype == np.uint8
    assert track.points.shape == (3, 3, 2) and track.mesh.shape == (3, 468, 3)
    assert track.boxes.shape == (3, 4) and track.scores.shape == track.states.shape == (3,)
    assert (track.boxes[:, :2] < track.boxes[:, 2:]).all()


def test_a_growing_and_turning_face_is_followed(portrait):
    frames = [
        np.array(Image.fromarray(portrait).rotate(3 * i, Image.Resampling.BILINEAR).crop((3 * i, 0, 352 - 2 * i, 352)))
        for i in range(12)
    ]
    frames = [np.array(Image.fromarray(frame).resize((320, 320))) for frame in frames]
    assert track_faces(frames).counts()["detected"] == 12


def test_a_short_gap_is_interpolated(portrait, faceless):
    frames = pan(portrait, 16)
    frames[6:11] = pan(faceless, 16)[6:11]
    track = track_faces(frames)
    assert track.states.tolist() == [1] * 6 + [2] * 5 + [1] * 5
    assert track.runs() == [(0, 16)]
    assert track.scores[6:11].max() < 0.5
    still = track.points + 2 * np.arange(16)[:, None, None] * np.array([1, 0])
    assert np.abs(still - np.median(still, 0)).max() < 1.5


def test_a_long_gap_stays_absent(portrait, faceless):
    track = track_faces([portrait] * 4 + [faceless] * 7 + [portrait] * 4, max_gap=5)
    assert track.states.tolist() == [1] * 4 + [0] * 7 + [1] * 4
    assert track.runs() == [(0, 4), (11, 15)]
    for values in (track.points, track.mesh, track.boxes):
        assert np.isnan(values[4:11]).all() and not np.isnan(values[:4]).any()


def test_frames_before_the_first_face_and_after_the_last_stay_absent(portrait, faceless):
    track = track_faces([faceless] * 3 + [portrait] * 3 + [faceless] * 2)
    assert track.states.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert track.runs() == [(3, 6)]


def test_a_cut_splits_the_track(portrait):
    other = (20 * draw("track.other", 352, 352, 3) + 230).clip(0, 255).astype(np.uint8)  # a bright shot without a face
    frames = [portrait] * 5 + [other] * 3 + [portrait[:, ::-1]] * 5
    track = track_faces(frames)
    assert track.cuts == (5, 8)
    assert track.runs() == [(0, 5), (8, 13)]  # 3 frames only, but never interpolated across cuts
    mirrored = 351 - track.points[8:][:, [1, 0, 2], 0]
    np.testing.assert_allclose(mirrored, track.points[:5, :, 0], atol=3)


def test_a_punch_in_on_the_same_face_is_a_cut(portrait):
    closer = np.array(Image.fromarray(portrait).crop((58, 3, 298, 243)).resize((352, 352)))
    track = track_faces([portrait] * 5 + [closer] * 5)
    assert track.cuts == (5,) and track.counts()["detected"] == 10


def two_people(portrait: np.ndarray) -> np.ndarray:
    """The larger face on the left."""
    smaller = np.array(Image.fromarray(portrait).resize((280, 280)))[:, ::-1]
    frame = np.full((352, 632, 3), 60, np.uint8)
    frame[:, :352], frame[72:, 352:] = portrait, smaller
    return frame


def test_the_largest_face_is_followed_and_never_exchanged(portrait, faceless):
    both, hidden = two_people(portrait), two_people(portrait)
    hidden[:, :352] = faceless
    track = track_faces([both] * 4 + [hidden] * 14 + [both] * 3, max_gap=6)
    assert track.states.tolist() == [1] * 4 + [0] * 14 + [1] * 3
    assert np.nanmax(track.boxes[:, 2]) < 352 and track.cuts == ()


def test_two_heads_close_together_are_not_confused(portrait, faceless):
    """Their distance, 1.3 face widths, is one that a single face might cover while out of sight."""
    cheek = np.array(Image.fromarray(portrait[:, 112:245]).resize((125, 331)))
    both, hidden = (np.full((331, 258, 3), 60, np.uint8) for _ in range(2))
    both[:, :133], both[:, 133:], hidden[:, 133:] = portrait[:331, 112:245], cheek, cheek
    hidden[:, :133] = faceless[:331, 112:245]
    for missing, state in ((5, FaceState.INTERPOLATED), (14, FaceState.ABSENT)):
        track = track_faces([both] * 4 + [hidden] * missing + [both] * 4)
        assert track.states.tolist() == [1] * 4 + [state] * missing + [1] * 4
        assert np.nanmax(track.boxes[:, [0, 2]].mean(1)) < 133


def test_a_region_chooses_the_face(portrait):
    frame = two_people(portrait)
    assert track_faces([frame] * 2, region=(352, 0, 632, 352)).boxes[:, 0].min() > 352
    assert track_faces([frame] * 2).boxes[:, 2].max() < 352
    with pytest.raises(LatentSyncError, match="No face"):
        track_faces([frame] * 2, minimum_size=200)


def test_a_small_face_that_appears_is_followed_from_its_first_frame(portrait):
    empty = np.full((540, 960, 3), 70, np.uint8)
    small = empty.copy()
    small[300:428, 700:828] = np.array(Image.fromarray(portrait).resize((128, 128)))  # its face is 35 pixels wide
    track = track_faces([empty] * 3 + [small] * 9)
    assert track.states.tolist() == [0] * 3 + [1] * 9  # the search for small faces comes later; the look back fills in


def test_no_face_says_where_it_looked_and_how_close_it_came(faceless):
    with pytest.raises(LatentSyncError, match=r"frames 0-3 .*every frame.*score 0\.\d\d, needed 0\.50"):
        track_faces([faceless] * 4)


def test_false_detections_do_not_start_a_track(faceless):
    with pytest.raises(LatentSyncError, match="face-mesh score"):
        track_faces([faceless] * 2, detection_threshold=0.02)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((9, 9, 3), np.float32)], "Frame 0 is float32"),
        ([np.zeros((9, 9), np.uint8)], r"Frame 0 is uint8 \(9, 9\)"),
        ([np.zeros((0, 9, 3), np.uint8)], r"Frame 0 is uint8 \(0, 9, 3\)"),
        ([None], "Frame 0 is NoneType"),
        ([np.zeros((8, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)], "Frame 1 is 9x9 pixels.*9x8"),
    ],
)
def test_bad_frames_are_refused_in_one_sentence(frames, message):
    with pytest.raises(LatentSyncError, match=message):
        track_faces(frames)


def test_frames_stream_through(portrait, faceless):
    alive: list[weakref.ref] = []
    most = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for i in range(30):
            frame = (faceless if 10 <= i < 24 else portrait).copy()
            alive.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in alive))
            yield frame

    assert len(track_faces(frames())) == 30
    assert most <= 3


def test_progress_and_cancel(portrait):
    calls = []
    track_faces(iter([portrait] * 3), on_progress=lambda done, total: calls.append((done, total)), total=3)
    assert calls == [(1, 3), (2, 3), (3, 3)]

    class StopError(Exception):
        pass

    def check_cancelled() -> None:
        if len(calls) == 5:
            raise StopError

    with pytest.raises(StopError):
        track_faces([portrait] * 9, on_progress=lambda *call: calls.append(call), check_cancelled=check_cancelled)
    assert calls[3:] == [(1, 1), (2, 2)]


def test_a_track_survives_saving(portrait, faceless):
    track = track_faces([portrait] * 2 + [faceless] * 2)
    file = io.BytesIO()
    np.savez_compressed(file, **track.to_arrays())
    file.seek(0)
    loaded = FaceTrack.from_arrays(np.load(file))
    for name in ("points", "mesh", "boxes", "scores", "states"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(track, name))
    assert (loaded.cuts, loaded.height, loaded.width) == (track.cuts, 352, 352)
    assert loaded.runs() == track.runs() == [(0, 2)]


def synthetic_track(shift: float, growth: float, cuts: list[int]) -> FaceTrack:
    mesh = np.full((9, 468, 3), np.nan)
    face = 100 * np.random.RandomState(0).rand(468, 3)
    mesh[:3], mesh[6:] = face, growth * face + shift
    return FaceTrack.from_meshes(mesh, np.ones(9), cuts=cuts, size=(400, 400), filling=GapFilling(max_gap=3))


def test_gaps_are_filled_along_a_line():
    track = synthetic_track(40, 1, [])
    assert track.states.tolist() == [1] * 3 + [2] * 3 + [1] * 3
    np.testing.assert_allclose(
        track.mesh[3:6] - track.mesh[2], np.array([10, 20, 30])[:, None, None] * np.ones((468, 3)), atol=1e-3
    )
    assert FaceState(track.states[4]) is FaceState.INTERPOLATED


@pytest.mark.parametrize(
    ("shift", "growth", "cuts"), [(150, 1, []), (0, 1.7, []), (0, 1, [4]), (0, 1, [3]), (0, 1, [6])]
)
def test_gaps_stay_where_no_single_face_can_have_moved_so(shift, growth, cuts):
    track = synthetic_track(shift, growth, cuts)
    assert track.states.tolist() == [1] * 3 + [0] * 3 + [1] * 3
    assert track.runs() == [(0, 3), (6, 9)]


def test_runs_split_at_cuts():
    track = synthetic_track(0, 1, [2, 8])
    assert track.runs() == [(0, 2), (2, 8), (8, 9)]


@pytest.mark.long
@pytest.mark.parametrize(("name", "count"), [("demo1_video.mp4", 100), ("demo3_video.mp4", 100)])
def test_real_footage_has_a_face_in_every_frame(footage, name, count):
    import av

    with av.open(str(footage / name)) as container:
        decoded = (frame.to_ndarray(format="rgb24") for frame in itertools.islice(container.decode(video=0), count))
        track = track_faces(decoded, total=count)
    assert track.counts()["detected"] == count and track.cuts == ()
    assert track.scores.min() > 0.9
    acceleration = np.diff(track.points, 2, axis=0) / np.sqrt(6)  # of white noise: its standard deviation
    face_width = (track.boxes[:, 2] - track.boxes[:, 0]).mean()
    assert np.sqrt((acceleration**2).mean()) < 0.01 * face_width


@pytest.mark.long
@pytest.mark.parametrize("name", ["demo1_video.mp4", "demo3_video.mp4"])
def test_an_edit_of_real_footage_has_its_cuts_and_no_others(footage, name):
    """Shots of both clips, a jump cut within one framing, a punch-in; a flash and a dissolve are not cuts."""
    shots = {clip: small_frames(footage / clip, 98) for clip in ("demo1_video.mp4", "demo3_video.mp4")}
    mine, other = shots.pop(name), next(iter(shots.values()))
    closer = [np.array(Image.fromarray(f).crop((40, 60, 220, 380)).resize((270, 480))) for f in mine[30:38]]
    flash = [f.astype(int) + 140 for f in mine[9:11]]
    steady = [*mine[:9], *(f.clip(0, 255).astype(np.uint8) for f in flash), *mine[11:18]]
    shares = np.linspace(0, 1, 12)
    dissolve = [
        ((1 - t) * a + t * b).astype(np.uint8) for t, a, b in zip(shares, mine[40:52], other[40:52], strict=True)
    ]
    parts = [steady, other[:8], mine[12:20], mine[90:98], closer, [*mine[31:40], *dissolve, *other[52:58]]]
    starts = tuple(np.cumsum([len(part) for part in parts])[:-1].tolist())
    frames = [frame for part in parts for frame in part]
    assert track_faces(frames).cuts == starts


def small_frames(path: Path, count: int) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as container:
        decoded = itertools.islice(container.decode(video=0), count)
        return [np.array(frame.to_image().resize((270, 480))) for frame in decoded]
