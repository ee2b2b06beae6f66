"""One image of who has which number: a portrait of every person, and frames of the clip with numbered boxes."""

from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..faces import People, Person
from ..intervals import clock
from .track_preview import draw_people

COLUMNS = 3
FRAMES = 6  # shown at most, besides one for each person
CELL_WIDTH = 480  # pixels
PORTRAIT = 152  # pixels
GAP, CAPTION = 12, 30
MARGIN = 0.35  # of a face's size, around it in a portrait
BACKGROUND, TEXT, MUTED = (24, 26, 30), (236, 236, 236), (160, 164, 170)


def people_sheet(reader, people: People, times: tuple[Fraction, ...]) -> Image.Image:
    """The sheet. reader: gives the clip's frames at any index; times: seconds of every frame."""
    best = {person.number: clearest_frame(person, people) for person in people.persons}
    shown = shown_frames(people, list(best.values()))
    portraits: dict[int, Image.Image] = {}
    frames: list[tuple[int, Image.Image]] = []
    for frame in reader.frames_at(sorted({*best.values(), *shown})):
        index, image = frame.index, frame.rgb()
        for person in people.persons:
            if best[person.number] == index:
                portraits[person.number] = portrait(image, person.track.boxes[index])
        if index in shown:
            frames.append((index, numbered_cell(image, people, index)))
    return compose_sheet(people, portraits, frames, times)


def clearest_frame(person: Person, people: People) -> int:
    """The frame with the best score for this person: a confident detection, a large face, few other people."""
    track, found = person.track, person.frames
    sizes = (track.boxes[found, 2:] - track.boxes[found, :2]).max(1)
    face_counts = np.array([len(people.boxes_at(index)) for index in found.tolist()])
    return int(found[np.argmax(track.scores[found] * sizes / (1 + 0.1 * face_counts))])


def shown_frames(people: People, best: list[int]) -> list[int]:
    """Frames spread over the clip that show a face, in each part the one with the most people."""
    face_counts = np.array([len(people.boxes_at(index)) for index in range(people.count)])
    parts = np.array_split(np.arange(people.count), min(FRAMES, people.count))
    fullest = [int(part[np.argmax(face_counts[part])]) for part in parts]
    shown = sorted({index for index in fullest if face_counts[index]})
    seen = {number for index in shown for number in people.boxes_at(index)}
    return sorted({*shown, *(best[p.number - 1] for p in people.persons if p.number not in seen)})


def portrait(image: np.ndarray, box: np.ndarray) -> Image.Image:
    """A square around a face, black outside the frame."""
    centre, half = (box[:2] + box[2:]) / 2, (0.5 + MARGIN) * (box[2:] - box[:2]).max()
    corners = (*(centre - half).tolist(), *(centre + half).tolist())
    return Image.fromarray(image).transform(
        (PORTRAIT, PORTRAIT), Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR
    )


def numbered_cell(image: np.ndarray, people: People, index: int) -> Image.Image:
    """A frame at the cell's width with numbered boxes, drawn after scaling so that they are legible in any clip."""
    scale = CELL_WIDTH / image.shape[1]
    small = Image.fromarray(image).resize((CELL_WIDTH, max(round(image.shape[0] * scale), 1)), Image.Resampling.BOX)
    return draw_people(np.array(small), {number: box * scale for number, box in people.boxes_at(index).items()})


def compose_sheet(people: People, portraits: dict[int, Image.Image], frames, times) -> Image.Image:
    """Portraits in rows on top, frames in columns below."""
    width = COLUMNS * (CELL_WIDTH + GAP) + GAP
    per_row = (width - GAP) // (PORTRAIT + GAP)
    portrait_height = PORTRAIT + 2 * CAPTION
    top = GAP + -(-len(portraits) // per_row) * portrait_height
    cell_height = max((cell.height for _, cell in frames), default=0) + CAPTION
    sheet = Image.new("RGB", (width, top + -(-len(frames) // COLUMNS) * (cell_height + GAP) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    bold, plain = ImageFont.load_default(22), ImageFont.load_default(15)
    for position, person in enumerate(people.persons):
        x, y = GAP + position % per_row * (PORTRAIT + GAP), GAP + position // per_row * portrait_height
        draw.text((x + PORTRAIT / 2, y + CAPTION / 2), str(person.number), TEXT, bold, anchor="mm")
        sheet.paste(portraits[person.number], (x, y + CAPTION))
        caption = f"{clock(times[person.frames[0]])} - {clock(times[person.frames[-1]])}"
        draw.text((x + PORTRAIT / 2, y + CAPTION + PORTRAIT + CAPTION / 2), caption, MUTED, plain, anchor="mm")
    for position, (index, cell) in enumerate(frames):
        x, y = GAP + position % COLUMNS * (CELL_WIDTH + GAP), top + position // COLUMNS * (cell_height + GAP)
        sheet.paste(cell, (x, y + CAPTION))
        draw.text((x, y + CAPTION / 2), f"{clock(times[index])}   frame {index}", MUTED, plain, anchor="lm")
    return sheet
