"""Who speaks: a word, a number, a place or a mask, and the person it means."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import LatentSyncError, NoFaceError
from ...options import FACE_WORDS
from ..detect import DEFAULT_THRESHOLD
from ..face_track import FaceTrack
from ..networks.nets import FaceNets
from ..pictures import Picture
from .everybody import EverybodySearch
from .main_face import MainFaceSearch
from .people import People, Person, people_of, track_people
from .search import TrackingSettings
from .track_faces import main_track, track_faces
from .tracker import Tracker, feed

REACH = 0.3  # of a face's size: a point this far outside the mesh's box (on the hair, say) still means that face
MASKED = 0.5  # share of the face's box, or of a smaller mask, that must be white
HOW = f"{', '.join(FACE_WORDS)}, a number such as 1, a point x,y, a box x0,y0,x1,y1 or a mask picture"
AT_FRAME = re.compile(r"(.+)@\s*(\d+)\s*")


@dataclass(frozen=True, eq=False)
class FaceSelection:
    """The user's choice. text: as given, for messages; numbers: of a person, point or box; mask: (h, w) in 0..1.

    kind: "auto", "largest", "left", "right", "number", "point", "box" or "mask". relative: the numbers of a point or
    box are shares of width and height, not pixels. frame: the point or box is looked at from this frame on.
    """

    text: str
    kind: str
    numbers: tuple[float, ...] = ()
    relative: bool = False
    mask: np.ndarray | None = None
    frame: int = 0

    @property
    def is_auto(self) -> bool:
        """Whether it means the largest and surest face of each shot, as track_faces follows it."""
        return self.kind == "auto"


def parse_face(text: str) -> FaceSelection:
    """Parse "auto", "largest", "left", "right", "2", "x,y", "x0,y0,x1,y1" or the path of a mask picture.

    Points and boxes are in pixels of the upright frame; with a decimal point and none above 1 they are shares of width
    and height. "@40" behind one means the person there in frame 40, counted from 0, or in the first one after it that
    shows somebody there. Raises LatentSyncError for anything else, and for a mask that cannot be used.
    """
    text = text.strip()
    if text in FACE_WORDS:
        return FaceSelection(text, text)
    at_frame = AT_FRAME.fullmatch(text)
    place, frame = (at_frame[1].strip(), int(at_frame[2])) if at_frame else (text, 0)
    parts = [part.strip() for part in place.split(",")]
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        if Path(text).suffix:
            return mask_selection(read_mask(Path(text)), text)
        raise LatentSyncError(f"The face {text!r} is unknown; choose {HOW}.") from None
    kind = {1: "number", 2: "point", 4: "box"}.get(len(numbers))
    if kind is None or not np.isfinite(numbers).all() or min(numbers) < 0:
        raise LatentSyncError(f"The face {text!r} is no number, point or box; choose {HOW}.")
    if kind == "number" and (numbers[0] < 1 or not text.isdigit()):
        raise LatentSyncError(f"The face {text!r} is no number of a person; they count 1, 2, 3 and so on.")
    if kind == "box" and not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise LatentSyncError(f"The box {text!r} is empty; give left, top, right and bottom as x0,y0,x1,y1.")
    return FaceSelection(text, kind, numbers, "." in place and max(numbers) <= 1, frame=frame)


def mask_selection(mask: np.ndarray, text: str) -> FaceSelection:
    """The selection by a mask (h, w) in 0..1 laid over the whole frame. Raises LatentSyncError for an empty one."""
    if not (mask > 0.5).any():
        raise LatentSyncError(f"The face mask ({text}) has no white in it; paint the face that is to speak white.")
    return FaceSelection(text, "mask", mask=mask)


def read_mask(path: Path) -> np.ndarray:
    """A mask picture as (h, w) float32 in 0..1, white = 1; where a picture is transparent it is black."""
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("LA"), np.float32) / 255
    except FileNotFoundError:
        raise LatentSyncError(f"{path}: there is no such file; the face to choose is {HOW}.") from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise LatentSyncError(
            f"{path} is no picture that can be read; a PNG with the face in white is needed."
        ) from error
    return grey[..., 0] * grey[..., 1]


def track_selected(
    frames: Iterable[Picture],
    selection: FaceSelection,
    *,
    settings: TrackingSettings | None = None,
    **options: Any,
) -> FaceTrack:
    """The track of the person who is to speak. options: as of track_faces; raises as it does, and as choose does."""
    if selection.is_auto:
        return track_faces(frames, settings=settings, **options)
    settings, options = split_settings(settings, options)
    people = track_people(frames, settings=settings, **options)
    return choose(people, selection, settings.detection_threshold).track


def track_numbered(
    frames: Iterable[Picture],
    selection: FaceSelection,
    *,
    nets: FaceNets,
    settings: TrackingSettings | None = None,
    **options: Any,
) -> tuple[FaceTrack, People]:
    """The track of the person who is to speak, and everybody with numbers to show, from one pass over the frames.

    As track_selected, at the cost of two trackers on every frame where the selection is "auto".
    """
    settings, options = split_settings(settings, options)
    everybody = Tracker(EverybodySearch(nets, settings))
    if not selection.is_auto:
        feed(frames, [everybody], **options)
        people = people_of(everybody)
        return choose(people, selection, settings.detection_threshold).track, people
    main = Tracker(MainFaceSearch(nets, settings))
    feed(frames, [everybody, main], **options)
    return main_track(main), people_of(everybody)


def split_settings(
    settings: TrackingSettings | None, options: dict[str, Any]
) -> tuple[TrackingSettings, dict[str, Any]]:
    """The settings with those fields that `options` name put in, and the other options."""
    names = {field.name for field in fields(TrackingSettings)}
    named = {name: value for name, value in options.items() if name in names}
    others = {name: value for name, value in options.items() if name not in names}
    return replace(settings or TrackingSettings(), **named), others


def choose(people: People, selection: FaceSelection, detection_threshold: float = DEFAULT_THRESHOLD) -> Person:
    """The person meant: largest, left and right as in the first frame that shows anybody, the others by place there.

    A point, box or mask means who is there in the first frame, from the selection's own on, in which somebody is.
    Raises LatentSyncError, with everybody who was found, where nobody is meant, NoFaceError for no face at all.
    """
    if not people.persons:
        raise NoFaceError(
            f"No face found in frames 0-{people.count - 1}: best detector score {people.best_detection:.2f}, needed "
            f"{detection_threshold:.2f}. Use a clip with a visible human face, or lower this threshold."
        )
    if selection.kind == "number":
        chosen = [person for person in people.persons if person.number == selection.numbers[0]]
    elif selection.kind in ("point", "box", "mask"):
        require_frame_of(selection, people)
        chosen = first_with(people, rating_of(selection, people), selection.frame)
    else:
        ratings = {"left": lambda box: -middle(box)[0], "right": lambda box: middle(box)[0], "largest": side}
        chosen = first_with(people, ratings[selection.kind])
    if not chosen:
        raise LatentSyncError(f"Nobody is meant by the face {selection.text!r}; found were {describe(people)}.")
    return chosen[0]


Rating = Callable[[np.ndarray], float | None]
"""How well a face's box (4,) fits a selection, None where it does not."""


def require_frame_of(selection: FaceSelection, people: People) -> None:
    """Raise LatentSyncError for a selection in a frame that the clip has not."""
    if selection.frame >= people.count:
        raise LatentSyncError(
            f"The face {selection.text!r} is looked for in frame {selection.frame}, but the frames are "
            f"0-{people.count - 1}; give one of those behind the @."
        )


def first_with(people: People, rating: Rating, start: int = 0) -> list[Person]:
    """The best rated person of the first frame from `start` on in which anybody is rated, or none."""
    for index in range(start, people.count):
        rated = {number: rating(box) for number, box in people.boxes_at(index).items()}
        rated = {number: value for number, value in rated.items() if value is not None}
        if rated:
            best = max(rated, key=lambda number: (rated[number], -number))
            return [people.persons[best - 1]]
    return []


def rating_of(selection: FaceSelection, people: People) -> Rating:
    """How a point, box or mask rates a face."""
    if selection.kind == "mask":
        return lambda box: rate_by_mask(box, selection.mask, people)
    scale = np.array([people.width, people.height] * 2) if selection.relative else np.ones(4)
    numbers = np.array(selection.numbers) * scale[: len(selection.numbers)]
    return (
        (lambda box: rate_by_point(box, numbers))
        if selection.kind == "point"
        else lambda box: rate_by_box(box, numbers)
    )


def rate_by_point(box: np.ndarray, point: np.ndarray) -> float | None:
    """The nearer to the middle of the face the better; None outside it."""
    reach = REACH * side(box)
    inside = (point >= box[:2] - reach).all() and (point <= box[2:] + reach).all()
    return -float(np.linalg.norm(point - middle(box))) if inside else None


def rate_by_box(box: np.ndarray, chosen: np.ndarray) -> float | None:
    """Of the faces whose middle lies in the box the largest; None outside it."""
    inside = (middle(box) >= chosen[:2]).all() and (middle(box) <= chosen[2:]).all()
    return side(box) if inside else None


def rate_by_mask(box: np.ndarray, mask: np.ndarray, people: People) -> float | None:
    """The share of the face that is white, or of the white that is on the face; None below half."""
    scale = np.array([mask.shape[1] / people.width, mask.shape[0] / people.height])
    low, high = np.floor(np.maximum(box[:2] * scale, 0)).astype(int), np.ceil(box[2:] * scale).astype(int)
    part = mask[low[1] : high[1], low[0] : high[0]] > 0.5
    if not part.size:
        return None
    share = part.sum() / min(part.size, (mask > 0.5).sum())
    return float(share) if share >= MASKED else None


def describe(people: People) -> str:
    """Everybody in one line: number, frames, place."""
    return "; ".join(
        f"person {p.number} ({len(p.frames)} frames from {p.frames[0]} on, {p.size:.0f} px at "
        f"{p.middle[0]:.0f},{p.middle[1]:.0f})"
        for p in people.persons
    )


def middle(box: np.ndarray) -> np.ndarray:
    """(4,) -> (2,)."""
    return (box[:2] + box[2:]) / 2


def side(box: np.ndarray) -> float:
    """(4,) -> the longer side."""
    return float((box[2:] - box[:2]).max())
