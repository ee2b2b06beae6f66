"""Everybody keeps the number: through crossings, exits and cuts; and the person meant is the one who is followed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded import draw

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import choose, mask_selection, parse_face, track_people, track_selected
from latentsync_core.faces.face_track import FaceState
from latentsync_core.faces.tracking.people import People

pytestmark = pytest.mark.long

HEIGHT, WIDTH = 300, 560
HEAD = (slice(20, 210), slice(95, 265))  # rows and columns of the portrait


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parents[1] / "astronaut.jpg"))[HEAD]


@pytest.fixture(scope="module")
def other(head) -> np.ndarray:
    """The same head mirrored, smaller, and as under another light: it counts as another person."""
    small = np.array(Image.fromarray(head[:, ::-1]).resize((150, 168)))
    return (small * np.array([0.75, 0.9, 1.0])).astype(np.uint8)


def room(name: str = "room") -> np.ndarray:
    coarse = (30 * draw(f"people.{name}", 6, 10, 3) + 110).clip(0, 255).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def put(picture: np.ndarray, head: np.ndarray, x: float, y: float = 150) -> None:
    """Draw a head, cut out as an ellipse, with its middle at x, y; parts outside the picture are cut off."""
    height, width = head.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    far = ((columns - width / 2) / (width / 2)) ** 2 + ((rows - height / 2) / (height / 2)) ** 2
    alpha = np.clip((1 - far) * 4, 0, 1)[..., None]
    left, top = round(x - width / 2), round(y - height / 2)
    inside = slice(max(-left, 0), max(min(width, WIDTH - left), 0))
    if inside.start >= inside.stop:
        return
    place = slice(top, top + height), slice(left + inside.start, left + inside.stop)
    picture[place] = alpha[:, inside] * head[:, inside] + (1 - alpha[:, inside]) * picture[place]


def scene(count: int, *actors, background: np.ndarray | None = None) -> list[np.ndarray]:
    """Frames with actors (head, x by frame), the last one in front."""
    frames = []
    for index in range(count):
        frame = (room() if background is None else background).copy()
        for head, x in actors:
            put(frame, head, x(index))
        frames.append(frame)
    return frames


def middles(people: People, number: int) -> np.ndarray:
    """(N,) x of a person in every frame, NaN where absent."""
    boxes = people.persons[number - 1].track.boxes
    return (boxes[:, 0] + boxes[:, 2]) / 2


def near(found: np.ndarray, x, count: int) -> np.ndarray:
    """(N,) bool: frames in which a person is where the actor is."""
    return np.abs(found - np.array([x(i) for i in range(count)])) < 30


def rightwards(index: int) -> float:
    return 90 + 14 * index


def leftwards(index: int) -> float:
    return 470 - 14 * index


@pytest.mark.parametrize("back", ["the same face", "another face"])
def test_two_people_who_cross_keep_their_numbers(head, other, back):
    behind = head if back == "the same face" else other
    people = track_people(scene(28, (behind, leftwards), (head, rightwards)))
    assert [person.number for person in people.persons] == [1, 2] and people.cuts == ()
    first, second = middles(people, 1), middles(people, 2)
    assert near(first, rightwards, 28).all()
    seen = ~np.isnan(second)
    assert near(second, leftwards, 28)[seen].all()
    assert seen[:8].all() and seen[-8:].all() and 16 <= seen.sum() < 28


def test_a_hidden_face_is_not_interpolated_onto_the_one_in_front(head):
    people = track_people(scene(28, (head, leftwards), (head, rightwards)), max_gap=20)
    states = people.persons[1].track.states
    assert (states == FaceState.ABSENT).sum() >= 2 and not (states == FaceState.INTERPOLATED).any()


def test_who_leaves_and_comes_back_keeps_the_number(head, other):
    def out_and_back(index: int) -> float:
        return 110 - 14 * index if index < 22 else -198 + 16 * (index - 22)

    people = track_people(scene(44, (head, out_and_back), (other, lambda i: 420)))
    assert [person.number for person in people.persons] == [1, 2]
    assert people.persons[1].track.counts()["detected"] == 44
    track = people.persons[0].track
    assert track.states[:8].all() and not track.states[20:30].any() and track.states[-5:].all()


def test_numbers_return_across_cuts_where_the_look_is_known(head, other):
    two = scene(8, (head, lambda i: 130), (other, lambda i: 420))
    swapped = scene(8, (other, lambda i: 130), (head, lambda i: 420), background=255 - room("street"))
    people = track_people(two + swapped + two)
    assert people.cuts == (8, 16) and len(people.persons) == 2
    for number, places in ((1, (130, 420, 130)), (2, (420, 130, 420))):
        assert near(middles(people, number), lambda i, places=places: places[i // 8], 24).all()


@pytest.mark.parametrize("flashed", [(6,), (6, 7, 8)])
def test_a_flash_changes_nobody_and_is_no_cut(head, other, flashed):
    frames = scene(14, (head, lambda i: 130), (other, lambda i: 420))
    for index in flashed:
        frames[index] = (frames[index].astype(int) + 230).clip(0, 255).astype(np.uint8)
    people = track_people(frames)
    auto = track_selected(frames, parse_face("auto"))
    assert people.cuts == auto.cuts == () and len(people.persons) == 2
    for track in (auto, *(person.track for person in people.persons)):
        assert track.present.all() and track.runs() == [(0, 14)]
        assert np.abs(track.points - track.points[0]).max() < 3


def test_newcomers_count_on_from_those_who_were_there_and_from_left_to_right(head, other):
    def enters(index: int) -> float:
        return 660 - 10 * index if index < 18 else 480

    people = track_people(scene(26, (head, lambda i: 130), (other, enters)))
    assert [person.frames[0] == 0 for person in people.persons] == [True, False]
    assert people.persons[1].middle[0] > 400
    together = track_people(scene(3, (other, lambda i: 130), (head, lambda i: 420)))
    assert together.persons[0].middle[0] < together.persons[1].middle[0]


def test_nobody_gives_nobody_and_a_choice_among_nobody_says_so():
    people = track_people(scene(4))
    assert people.persons == () and 0 <= people.best_detection < 0.5
    with pytest.raises(LatentSyncError, match=r"No face found in frames 0-3.*score 0\.\d\d, needed 0\.50"):
        choose(people, parse_face("1"))


# Who is meant


@pytest.fixture(scope="module")
def pair(head, other) -> People:
    """Person 1 on the left is smaller, and goes to the right from the third frame on."""
    return track_people(scene(12, (head, lambda i: 420), (other, lambda i: 130 + 12 * max(i - 2, 0))))


MEANT = {
    "1": 1,
    "2": 2,
    "largest": 2,
    "left": 1,
    "right": 2,
    "130,150": 1,
    "420,100": 2,
    "0.23,0.5": 1,
    "300,0,560,300": 2,
    "0,0,0.5,1.0": 1,
    " 2 ": 2,
    "250,150@11": 1,
    "0.45,0.5 @ 11": 1,
    "180,60,300,260@9": 1,
}


@pytest.mark.parametrize("text", MEANT)
def test_a_word_a_number_and_a_place_mean_a_person(pair, text):
    assert choose(pair, parse_face(text)).number == MEANT[text]


@pytest.mark.parametrize("size", [(300, 560), (75, 140)])
def test_a_mask_means_the_face_under_it_at_any_size(pair, size, tmp_path):
    for number, columns in ((1, slice(0, size[1] // 2)), (2, slice(size[1] // 2, None))):
        mask = np.zeros(size, np.float32)
        mask[:, columns] = 1
        assert choose(pair, mask_selection(mask, "given")).number == number
        Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "mask.png")
        assert choose(pair, parse_face(str(tmp_path / "mask.png"))).number == number


def test_a_dot_painted_on_a_face_is_enough(pair):
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[140:150, 415:425] = 1
    assert choose(pair, mask_selection(mask, "given")).number == 2


@pytest.mark.parametrize("text", ["3", "10,10", "0,0,60,60"])
def test_who_is_not_there_is_refused_with_everybody_who_is(pair, text):
    found = r"person 1 \(12 frames from 0 on, \d+ px at \d+,\d+\); person 2 \(12 frames from 0 on"
    with pytest.raises(LatentSyncError, match=rf"Nobody is meant by the face '{text}'; found were {found}"):
        choose(pair, parse_face(text))


def test_a_place_in_a_frame_that_is_not_there_is_refused(pair):
    with pytest.raises(LatentSyncError, match=r"looked for in frame 12, but the frames are 0-11; give one of those"):
        choose(pair, parse_face("130,150@12"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tallest", "'tallest' is unknown; choose auto, largest, left, right"),
        ("", "'' is unknown"),
        ("0", "no number of a person"),
        ("1.5", "no number of a person"),
        ("-1", "no number, point or box"),
        ("1,2,3", "no number, point or box"),
        ("2@4", "no number of a person"),
        ("10,20@-4", "is unknown"),
        ("nan,1", "no number, point or box"),
        ("50,50,20,90", "box '50,50,20,90' is empty"),
        ("nowhere.png", "nowhere.png: there is no such file"),
    ],
)
def test_what_means_nobody_is_refused(text, said):
    with pytest.raises(LatentSyncError, match=said):
        parse_face(text)


def test_masks_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("words")
    with pytest.raises(LatentSyncError, match="text.png is no picture"):
        parse_face(str(tmp_path / "text.png"))
    Image.new("L", (20, 20)).save(tmp_path / "black.png")
    with pytest.raises(LatentSyncError, match=r"black.png\) has no white"):
        parse_face(str(tmp_path / "black.png"))


def test_the_chosen_person_is_tracked_as_alone(head, other):
    frames = scene(12, (head, lambda i: 130 + 2 * i), (other, lambda i: 420))
    track = track_selected(iter(frames), parse_face("left"), total=12)
    alone = track_selected(scene(12, (head, lambda i: 130 + 2 * i)), parse_face("auto"))
    assert track.counts() == alone.counts() == {"absent": 0, "detected": 12, "interpolated": 0}
    assert np.abs(track.points - alone.points).max() < 1.0


def test_progress_and_cancel(head):
    calls = []
    frames = scene(3, (head, lambda i: 130))
    track_people(iter(frames), on_progress=lambda *call: calls.append(call), total=3)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(InterruptedError):
        track_people(frames, check_cancelled=lambda: (_ for _ in ()).throw(InterruptedError))


@pytest.mark.parametrize(("frames", "said"), [([], "no frames"), ([np.zeros((9, 9), np.uint8)], "Frame 0 is uint8")])
def test_bad_frames_are_refused(frames, said):
    with pytest.raises(LatentSyncError, match=said):
        track_people(frames)


def test_tracks_survive_saving(pair):
    track = pair.persons[0].track
    file = io.BytesIO()
    np.savez_compressed(file, **track.to_arrays())
    file.seek(0)
    loaded = type(track).from_arrays(np.load(file))
    np.testing.assert_array_equal(loaded.boxes, track.boxes)
