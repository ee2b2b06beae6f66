"""Redraw one frame's face: lips, jaw and chin moved, and what shows between the lips put in.

Skin moves smoothly, so its displacement is computed on a coarse grid and interpolated; in the part around the lips it
is computed for every pixel. Each pixel of the result is sampled from the source once.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.resample import image_from_planes, invert_affine
from .filmed_face import FilmedFace, face_corners, rectangle
from .inner_mouth import TINT, InnerMouth, inner_colours
from .lips import Lips
from .reshape import Mouth, reshaped
from .warp import PARTED, Motion, motion, smooth_step

NODES_PER_EYE_DISTANCE = 32  # of the coarse grid
LIP_ROOM, CORNER_ROOM = 0.03, 0.04  # eye distances around the lips that are moved pixel by pixel
RIM = 0.08  # eye distances inside a region's rim, over which all motion fades
EDGE, LEAST_EDGE = 0.016, 1.2  # eye distances, and pixels at least, over which lips and inner mouth blend
CREASE, CREASE_WIDTH = 0.35, 0.013  # light lost along the line of lips that were brought together; eye distances
TURNED_IN, TURNING_WIDTH = 0.1, 0.025  # light lost where parted lips turn in; eye distances
LEAST_MOTION, FULL_MOTION = 1 / 50, 1 / 4  # pixels: a pixel is the filmed one below the first, the moved one above
FULL_ALPHA = 1 / 4  # of the inner mouth in a pixel, from which on it counts as changed


@dataclass(frozen=True, eq=False)
class Redrawn:
    """A redrawn face: pixels (h, w, 3) uint8, and share (h, w) float32 in 0..1, 0 where nothing has changed."""

    pixels: np.ndarray
    share: np.ndarray


def redraw(face: FilmedFace, mouth: Mouth, inner: InnerMouth) -> Redrawn:
    """Draw a face with another mouth; what has faded, and what is still, stays the filmed pixel bit for bit.

    face: best as large as `face_box` says, as all motion fades before the rim. inner: what shows between the lips.
    """
    pixels, share = face.pixels.copy(), np.zeros(face.pixels.shape[:2], np.float32)
    if mouth.strength == 0:
        return Redrawn(pixels, share)
    whole = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
    wanted = reshaped(face.lips, mouth)
    skin = part_around(face.plane, face_corners(face.lips, wanted), whole, NODES_PER_EYE_DISTANCE)
    lips = part_around(face.plane, lip_corners(wanted), skin.place)
    if min(skin.size) < 2 or min(lips.size) < 2:  # outside the region
        return Redrawn(pixels, share)
    drawing = Drawing(face.planes, face.plane, face.lips, wanted, mouth.strength)
    drawn, changed = moved_skin(drawing, skin)
    inside = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(lips.place, skin.place, strict=True))
    drawn[(..., *inside)], changed[inside] = moved_lips(drawing, lips, inner, face.skin)
    kept = drawing.planes[(..., *skin.place)]
    levels = torch.where(changed > 0, drawn.round_().clamp_(0, 255), kept).to(torch.uint8)
    pixels[skin.place], share[skin.place] = image_from_planes(levels), changed.numpy()
    return Redrawn(pixels, share)


@dataclass(frozen=True, eq=False)
class Drawing:
    """One face being redrawn: its planes (3, h, w) float32 in 0..255, the face's plane, its lips; strength as asked."""

    planes: Tensor
    plane: np.ndarray
    filmed: Lips
    wanted: Lips
    strength: float

    @property
    def scale(self) -> float:
        """Pixels per eye distance down the face."""
        return float(np.linalg.norm(self.plane[:, 1]))

    def in_pixels(self, du: Tensor, dv: Tensor) -> tuple[Tensor, Tensor]:
        """A displacement on the face's plane in pixels."""
        (ux, vx), (uy, vy) = self.plane[:, :2].tolist()
        return ux * du + vx * dv, uy * du + vy * dv

    def taken(self, x: Tensor, y: Tensor) -> Tensor:
        """The filmed colours (3, h, w) at pixels (h, w), bicubically."""
        height, width = self.planes.shape[1:]
        grid = torch.stack([x * (2 / width) + (1 / width - 1), y * (2 / height) + (1 / height - 1)], dim=-1)
        options = {"mode": "bicubic", "padding_mode": "border", "align_corners": False}
        return F.grid_sample(self.planes[None], grid[None], **options)[0]


@dataclass(frozen=True, eq=False)
class Part:
    """A rectangle of a region, and where its pixels, or the nodes of a grid over it, are.

    place: rows and columns. x, y in pixels of the region, u, v on the face's plane: (h, w) float32 each.
    """

    place: tuple[slice, slice]
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return tuple(part.stop - part.start for part in self.place)


def part_around(
    plane: np.ndarray, corners: np.ndarray, within: tuple[slice, slice], nodes: float | None = None
) -> Part:
    """What a rectangle on the face's plane, given by two corners, takes of a region's rows and columns.

    nodes: points per eye distance, where not every pixel counts.
    """
    reached, inverse = rectangle(plane, corners)[:, ::-1], invert_affine(plane).tolist()
    first, last = np.array([[part.start, part.stop] for part in within]).T
    low = np.clip(np.floor(reached.min(0)).astype(int), first, last)
    high = np.clip(np.ceil(reached.max(0)).astype(int) + 1, low, last)
    count = high - low
    if nodes is not None:
        count = np.maximum(2, np.ceil(count * nodes / np.linalg.norm(plane[:, 1])).astype(int))
    rows, columns = (
        torch.linspace(float(start), float(stop - 1), int(points))
        for start, stop, points in zip(low, high, count, strict=True)
    )
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    u, v = (row[0] * x + row[1] * y + row[2] for row in inverse)
    return Part(tuple(slice(*map(int, ends)) for ends in zip(low, high, strict=True)), x, y, u, v)


def lip_corners(wanted: Lips) -> np.ndarray:
    """Two opposite corners (2, 2) on the plane of the lips."""
    (left, _), (right, _) = wanted.corners
    top, bottom = wanted.upper.min() - wanted.upper_lip - LIP_ROOM, wanted.lower.max() + wanted.lower_lip + LIP_ROOM
    return np.array([[left - CORNER_ROOM, top], [right + CORNER_ROOM, bottom]])


def moved_skin(drawing: Drawing, skin: Part) -> tuple[Tensor, Tensor]:
    """All but the lips: colours (3, h, w) in 0..255, and how much has changed (h, w) in 0..1."""
    moved, fade = motion(skin.u, skin.v, drawing.filmed, drawing.wanted, drawing.strength), rim_fade(skin, drawing)
    dx, dy = drawing.in_pixels(moved.du * fade, moved.dv * fade)
    nodes = torch.stack([skin.x + dx, skin.y + dy, change(dx, dy)])
    x, y, changed = F.interpolate(nodes[None], size=skin.size, mode="bilinear", align_corners=True)[0]
    return drawing.taken(x, y), changed


def moved_lips(drawing: Drawing, lips: Part, inner: InnerMouth, skin: Tensor) -> tuple[Tensor, Tensor]:
    """Lips and what shows between them, as of `moved_skin`; skin: (3,) its colour in this frame."""
    moved, fade = motion(lips.u, lips.v, drawing.filmed, drawing.wanted, drawing.strength), rim_fade(lips, drawing)
    scale = drawing.scale
    edge = max(EDGE * scale, LEAST_EDGE)
    colours, changes = [], []
    for dv in (moved.under, moved.over):
        dx, dy = drawing.in_pixels(moved.du * fade, dv * fade)
        colours.append(drawing.taken(lips.x + dx, lips.y + dy))
        changes.append(change(dx, dy))
    upward = ((moved.above_lower - moved.below_upper) * scale / 2 / edge + 0.5).clamp(0, 1)
    shown = drawing.strength * fade
    dark = crease(moved, drawing.filmed, scale) + turning_in(moved)
    drawn = torch.lerp(*colours, upward) * (1 - dark * shown) ** TINT
    alpha = between_lips(moved, scale, edge) * shown
    drawn = torch.lerp(drawn, inner_colours(inner, lips.u, lips.v, moved, skin), alpha)
    return drawn, torch.lerp(*changes, upward).maximum((alpha / FULL_ALPHA).clamp(max=1))


def rim_fade(part: Part, drawing: Drawing) -> Tensor:
    """0 at the rim of the region and outside, 1 inside: (h, w)."""
    height, width = drawing.planes.shape[1:]
    aside, ends = torch.minimum(part.x, width - 1 - part.x), torch.minimum(part.y, height - 1 - part.y)
    return smooth_step(torch.minimum(aside, ends) / (RIM * drawing.scale))


def change(dx: Tensor, dy: Tensor) -> Tensor:
    """How far a pixel displaced by so many pixels counts as changed: 0..1."""
    return smooth_step(((dx**2 + dy**2).sqrt() - LEAST_MOTION) / (FULL_MOTION - LEAST_MOTION))


def between_lips(moved: Motion, scale: float, edge: float) -> Tensor:
    """How much of a pixel lies between the wanted lips: (h, w) in 0..1. edge: pixels over which they blend."""
    over, under = moved.below_upper * scale / edge + 0.5, moved.above_lower * scale / edge + 0.5
    gap = (moved.below_upper + moved.above_lower) * scale
    return over.clamp(0, 1) * under.clamp(0, 1) * smooth_step(gap / edge) * (moved.place.abs() < 1)


def crease(moved: Motion, filmed: Lips, scale: float) -> Tensor:
    """How much darker the line is along which parted lips have been brought together: (h, w) in 0..1."""
    away = (moved.below_upper - moved.above_lower).abs() / 2
    gap = (moved.below_upper + moved.above_lower) * scale
    line = torch.exp(-((away / CREASE_WIDTH) ** 2)) * smooth_step((1.02 - moved.place.abs()) / 0.3)
    return CREASE * min(1.0, filmed.opening / PARTED) * line * smooth_step(1.5 - gap / 2)


def turning_in(moved: Motion) -> Tensor:
    """How much darker lips are where they turn in towards an open mouth: (h, w) in 0..1."""
    away = torch.maximum(-moved.below_upper, -moved.above_lower).clamp(min=0)
    parted = smooth_step((moved.below_upper + moved.above_lower) / PARTED)
    return TURNED_IN * torch.exp(-((away / TURNING_WIDTH) ** 2)) * parted
