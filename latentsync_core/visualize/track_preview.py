"""Preview of the tracking: a few frames with the number of each person, and the mask of the generated mouth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..faces.detect import overlap
from ..faces.face_track import FaceTrack
from ..faces.tracking.people import People

POINT_COLOUR = (255, 210, 60)
DARK = (16, 18, 22)
COLOURS = ((80, 220, 120), (90, 170, 255), (255, 150, 70), (225, 120, 255), (250, 225, 80), (90, 230, 230))
LINES_PER_SIDE = 300  # line widths in the image's shorter side
SAME_FACE = 0.5  # intersection over union of a person's box and the synced face's

SoftMask = Callable[[int, int, int], np.ndarray]
"""``soft_mask(frame, height, width)``: the new mouth's share in every pixel of a source frame, (height, width)."""


@dataclass(frozen=True)
class ShownFrame:
    """A frame to look at: its index, it with a numbered box for everybody, shrunk, and the boxes in its own pixels."""

    index: int
    picture: Image.Image
    boxes: dict[int, np.ndarray]


@dataclass(frozen=True)
class Preview:
    """A tracked clip in pictures.

    images (n, H, W, 3), masks (n, H, W): a few frames and their mouth masks, float32 in 0..1; a frame without the face
    to sync has an empty mask. shown: those frames, and more, small.
    """

    images: torch.Tensor
    masks: torch.Tensor
    shown: tuple[ShownFrame, ...]


def draw_preview(
    reader, track: FaceTrack, soft_mask: SoftMask, people: People, *, images: int, shown: int, side: int
) -> Preview:
    """Frames spread over the clip, from one pass over it.

    Args:
        reader: yields the track's frames.
        track: of the face to sync.
        soft_mask: of a generator's faces, as `AlignedFaces` and `BoxedFaces` have it.
        people: everybody, to be numbered.
        images: frames in full size, at most.
        shown: small frames, at least as far as the clip has so many; everybody is on one of them.
        side: of a small frame, pixels at most.
    """
    full = spread(len(track), images)
    kept, masks, small = [], [], []
    middles = [int(person.frames[len(person.frames) // 2]) for person in people.persons if len(person.frames)]
    for frame in reader.frames_at(sorted({*full, *spread(len(track), shown), *middles})):
        index, image = frame.index, frame.rgb()
        present = bool(track.present[index])
        box, points = (track.boxes[index], track.points[index]) if present else (None, None)
        boxes = numbered_boxes(people, index, box)
        picture = draw_people(image, boxes, points)
        if index in full:
            height, width = image.shape[:2]
            mask = soft_mask(index, height, width) if present else np.zeros((height, width), np.float32)
            kept.append(torch.from_numpy(np.array(picture)).float() / 255)
            masks.append(torch.from_numpy(mask))
        picture.thumbnail((side, side))
        small.append(ShownFrame(index, picture, boxes))
    return Preview(torch.stack(kept), torch.stack(masks), tuple(small))


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` indices, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int)).tolist()


def numbered_boxes(people: People, index: int, synced: np.ndarray | None) -> dict[int, np.ndarray]:
    """Number -> box (4,) of every person in frame `index`; the `synced` face is 1 where no person is known."""
    boxes = people.boxes_at(index)
    known = synced is None or any(overlap(synced, box[None])[0] > SAME_FACE for box in boxes.values())
    if not known and not people.persons:
        boxes[1] = synced
    return boxes


def draw_people(image: np.ndarray, boxes: dict[int, np.ndarray], points: np.ndarray | None = None) -> Image.Image:
    """The image with a numbered box (x0, y0, x1, y1) for every person.

    points: the three alignment points (3, 2) of the face to sync, drawn as dots.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line = max(round(min(picture.size) / LINES_PER_SIDE), 2)  # pixels
    for number, box in boxes.items():
        draw_number(draw, box, number, line, picture.width)
    for x, y in [] if points is None else points.tolist():
        draw.ellipse((x - 2 * line, y - 2 * line, x + 2 * line, y + 2 * line), fill=POINT_COLOUR)
    return picture


def draw_number(draw: ImageDraw.ImageDraw, box: np.ndarray, number: int, line: int, width: int) -> None:
    """Draw a box and its number on a filled tag above it, which stays inside the image.

    Args:
        draw: on the image.
        box: (4,) x0, y0, x1, y1 in pixels.
        number: of the person.
        line: width of a line in pixels.
        width: of the image in pixels.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    colour = COLOURS[(number - 1) % len(COLOURS)]
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
    font = ImageFont.load_default(9 * line)
    left, top, right, bottom = draw.textbbox((0, 0), str(number), font)
    tag_width, tag_height = right - left + 6 * line, bottom - top + 5 * line
    x, y = min(max(x0, 0), width - tag_width), max(y0 - tag_height, 0)
    draw.rectangle((x, y, x + tag_width, y + tag_height), fill=colour)
    draw.text((x + tag_width / 2, y + tag_height / 2), str(number), DARK, font, anchor="mm")
