"""Redraw one frame's face: lips, jaw and chin moved, and what shows between the lips put in.

Skin moves smoothly, so its displacement is computed on a coarse grid and interpolated; in the part around the lips it
is computed for every pixel. Each pixel of the result is sampled from the source once.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.resample import image_from_planes, invert_affine, planes_from_image
from .face_plane import on_plane
from .inner_mouth import InnerMouth, inner_colours, sample, skin_colour
from .lips import Lips, measured_lips
from .plan import Mouth, reshaped
from .warp import BELOW_CHIN, CORNER_ROOM, LIP_ROOM, PARTED, REACH, Motion, motion, smooth_step

NODES_PER_EYE_DISTANCE = 32  # of the coarse grid
RIM = 0.08  # eye distances inside a region's rim, over which all motion fades
EDGE = 0.011  # eye distances over which lips and inner mouth blend, at least LEAST_EDGE
LEAST_EDGE = 1.2  # pixels
CREASE, CREASE_WIDTH = 0.38, 0.011  # of the light that is lost along the line of shut lips; eye distances
LEAST_MOTION, FULL_MOTION = 1 / 50, 1 / 4  # pixels: a pixel is the filmed one below the first, the moved one above


@dataclass(frozen=True, eq=False)
class Redrawn:
    """A redrawn region: pixels (h, w, 3) uint8, and share (h, w) float32 in 0..1, 0 where nothing has changed."""

    pixels: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class Part:
    """A rectangle of a region, and the points of the face's plane at its pixels or nodes.

    x, y in pixels of the region, u, v in eye distances: (h, w) float32 each.
    """

    rows: slice
    columns: slice
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def redraw(
    region: np.ndarray, mesh: np.ndarray, plane: np.ndarray, mouth: Mouth, inner: InnerMouth, strength: float = 1.0
) -> Redrawn:
    """Draw a face with another mouth; what has faded, and what is still, stays the filmed pixel bit for bit.

    Args:
        region: (h, w, 3) uint8 RGB with the face, best as large as `face_box` says.
        mesh: (468, 3) in pixels of the region.
        plane: (2, 3) of `face_planes` in pixels of the region.
        mouth: that the face shall have.
        inner: what shows between its lips.
        strength: share of the way from the filmed mouth to that one, 0..1.
    """
    filmed = measured_lips(on_plane(plane, mesh))
    wanted = reshaped(filmed, mouth, strength)
    pixels, share = region.copy(), np.zeros(region.shape[:2], np.float32)
    face = part_around(plane, face_corners(filmed, wanted), region.shape, NODES_PER_EYE_DISTANCE)
    lips = part_around(plane, lip_corners(wanted), region.shape)
    if strength == 0 or min(face.size) < 2 or min(lips.size) < 2:
        return Redrawn(pixels, share)
    planes = planes_from_image(region).float()
    frame = Frame(planes, plane, filmed, wanted)
    drawn, changed = moved_skin(frame, face)
    gain = skin_colour(region, mesh) / inner.skin
    place = (..., *inside(lips, face))
    drawn[place], changed[place[1:]] = moved_lips(frame, lips, inner, gain=gain, strength=strength)
    drawn = torch.where(changed > 0, drawn.round_().clamp_(0, 255), planes[:, face.rows, face.columns])
    pixels[face.rows, face.columns] = image_from_planes(drawn.to(torch.uint8))
    share[face.rows, face.columns] = changed.numpy()
    return Redrawn(pixels, share)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame to redraw: its region's planes (3, h, w) float32 in 0..255, its face's plane, its lips."""

    planes: Tensor
    plane: np.ndarray
    filmed: Lips
    wanted: Lips

    @property
    def scale(self) -> float:
        """Pixels per eye distance down the face."""
        return float(np.linalg.norm(self.plane[:, 1]))

    def in_pixels(self, du: Tensor, dv: Tensor) -> tuple[Tensor, Tensor]:
        """A displacement on the face's plane in pixels."""
        (ux, vx), (uy, vy) = self.plane[:, :2].tolist()
        return ux * du + vx * dv, uy * du + vy * dv


def face_corners(filmed: Lips, wanted: Lips) -> np.ndarray:
    """Two opposite corners (2, 2) on the plane of what can move."""
    centre = wanted.corners[:, 0].mean()
    chin = wanted.chin + max(wanted.opening - filmed.opening, 0)
    return np.array([[centre - REACH, wanted.nose], [centre + REACH, chin + BELOW_CHIN]])


def lip_corners(wanted: Lips) -> np.ndarray:
    """Two opposite corners (2, 2) on the plane of the lips."""
    (left, _), (right, _) = wanted.corners
    top, bottom = wanted.upper.min() - wanted.upper_lip - LIP_ROOM, wanted.lower.max() + wanted.lower_lip + LIP_ROOM
    return np.array([[left - CORNER_ROOM, top], [right + CORNER_ROOM, bottom]])


def part_around(plane: np.ndarray, corners: np.ndarray, shape: tuple[int, ...], nodes: float | None = None) -> Part:
    """The pixels of a region that hold a rectangle of the face's plane; nodes: points per eye distance instead."""
    (left, top), (right, bottom) = corners
    reached = np.array([[u, v, 1] for u in (left, right) for v in (top, bottom)]) @ plane.T  # (4, 2)
    low = np.clip(np.floor(reached.min(0)).astype(int), 0, shape[1::-1])
    high = np.clip(np.ceil(reached.max(0)).astype(int) + 1, low, shape[1::-1])
    scale = float(np.linalg.norm(plane[:, 1]))
    counts = high - low if nodes is None else np.maximum(2, np.ceil((high - low) * nodes / scale).astype(int))
    x = torch.linspace(float(low[0]), float(high[0] - 1), int(counts[0])).expand(int(counts[1]), -1)
    y = torch.linspace(float(low[1]), float(high[1] - 1), int(counts[1]))[:, None].expand_as(x)
    inverse = invert_affine(plane).tolist()
    u, v = (row[0] * x + row[1] * y + row[2] for row in inverse)
    return Part(slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])), x, y, u, v)


def inside(part: Part, whole: Part) -> tuple[slice, slice]:
    """The rows and columns of a part, counted from the first of another that holds it."""
    starts = whole.rows.start, whole.columns.start
    return tuple(slice(s.start - o, s.stop - o) for s, o in zip((part.rows, part.columns), starts, strict=True))


def moved_skin(frame: Frame, face: Part) -> tuple[Tensor, Tensor]:
    """All but the lips: colours (3, h, w) in 0..255 and what has changed (h, w) in 0..1."""
    moved = motion(face.u, face.v, frame.filmed, frame.wanted)
    fade = rim_fade(face, frame)
    dx, dy = frame.in_pixels(moved.du * fade, moved.dv * fade)
    nodes = torch.stack([face.x + dx, face.y + dy, change(dx, dy)])
    x, y, changed = F.interpolate(nodes[None], size=face.size, mode="bilinear", align_corners=True)[0]
    return sample(frame.planes, x, y, mode="bicubic"), changed


def rim_fade(part: Part, frame: Frame) -> Tensor:
    """0 at the rim of the region and outside, 1 inside: (h, w)."""
    height, width = frame.planes.shape[1:]
    room = torch.minimum(torch.minimum(part.x, width - 1 - part.x), torch.minimum(part.y, height - 1 - part.y))
    return smooth_step(room / (RIM * frame.scale))


def moved_lips(frame: Frame, lips: Part, inner: InnerMouth, *, gain: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Lips and what shows between them, as of `moved_skin`; gain: (3,) of the light since `inner` was seen."""
    moved = motion(lips.u, lips.v, frame.filmed, frame.wanted)
    fade, edge = rim_fade(lips, frame), max(EDGE * frame.scale, LEAST_EDGE)
    colours, changes = [], []
    for dv in (moved.under, moved.over):
        dx, dy = frame.in_pixels(moved.du * fade, dv * fade)
        colours.append(sample(frame.planes, lips.x + dx, lips.y + dy, mode="bicubic"))
        changes.append(change(dx, dy))
    upward = ((moved.above_lower - moved.below_upper) * frame.scale / 2 / edge + 0.5).clamp(0, 1)
    drawn = torch.lerp(*colours, upward) * (1 - crease(moved, frame.filmed, frame.scale) * strength)
    alpha = between_lips(moved, frame.scale, edge) * strength * fade
    drawn = torch.lerp(drawn, inner_colours(inner, lips.u, lips.v, moved, gain), alpha)
    return drawn, torch.lerp(*changes, upward).maximum((4 * alpha).clamp(max=1))


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
