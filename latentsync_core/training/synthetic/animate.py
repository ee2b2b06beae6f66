"""A talking portrait by backward warping: every output pixel is mapped to a position in the portrait.

Camera and head pose come first, then eyelids and lips: outside the lips the skin is stretched, and between them the
inner mouth is drawn, with teeth fixed to the skull and a tongue that moves with the jaw. All of it is arithmetic on
batches of frames; mouth and eyes are computed only in the parts of the frame around them.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from .portrait import Portrait, Slit

FULL_OPENING = 0.27  # lip gap of an entirely open mouth over the distance of the eyes' outer corners
VIEW_WIDTH = 0.50  # part of the portrait's width that the camera sees
# In half widths of the mouth unless said otherwise.
VIEW_ABOVE_MOUTH = 0.35  # the picture's middle, above the mouth
HEAD_ABOVE_MOUTH = 1.9
HEAD_RADII = (3.8, 4.6)  # hair included
NECK_BELOW_MOUTH = 2.0
UPPER_SHARE = 0.10  # of the gap, by which the upper lip rises; the lower one drops by the rest
LIP_LINE = 0.45  # where shut lips meet, from the portrait's upper to its lower lip
JAW_SHARE = 0.6  # of the lower lip's drop, that the whole jaw makes
# Below the mouth: the jaw's motion is full, still full, zero. It ends inside the mask of the face crop, and so does the
# upper lip's: a collar or a nose that moved with the mouth would show a model the mouth's opening without the audio.
CHIN, CHIN_END, NECK_END = 1.0, 1.25, 1.8
JAW_INNER, JAW_OUTER = 0.9, 1.75  # from the middle: the jaw's motion is full, zero
NOSE = 0.42  # above the mouth: the upper lip's motion is zero
WIDTH_GAIN, ROUNDING_GAIN, OPENING_GAIN = 0.07, 0.24, 0.17  # of the mouth's width per unit of a parameter
WIDTH_REACH = 2.2  # from the middle, where the sideways motion has faded
TEETH_RISE = 0.08  # of the gap, by which the teeth show less: the head tilts back a little with the jaw's drop
EDGE = 0.9  # portrait pixels over which lips and inner mouth blend
INSET = 0.4  # portrait pixels: lips are sampled at this distance from the mesh's edge
CAVITY_TOP, CAVITY_BOTTOM = (0.13, 0.04, 0.04), (0.10, 0.03, 0.035)
TONGUE = (0.40, 0.17, 0.17)


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose, mouth, camera and light of some frames, (frames,) float32 each.

    opening 0..1, width -1..1, rounding 0..1 of the mouth; blink 0..1; yaw, pitch in portrait pixels by which
    the nose moves; roll in radians; pan_x, pan_y in portrait pixels; zoom a factor; camera_roll in radians; red, green,
    blue: gains; contrast a factor; light: gain from left to right; wall: brightness added behind the head.
    """

    opening: Tensor
    width: Tensor
    rounding: Tensor
    blink: Tensor
    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    pan_x: Tensor
    pan_y: Tensor
    zoom: Tensor
    camera_roll: Tensor
    red: Tensor
    green: Tensor
    blue: Tensor
    contrast: Tensor
    light: Tensor
    wall: Tensor

    def __getitem__(self, frames: slice) -> "Pose":
        return Pose(**{field.name: getattr(self, field.name)[frames] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.opening)

    @classmethod
    def resting(cls, frames: int, **moved: Tensor) -> "Pose":
        """A neutral pose with a closed mouth, but for the parameters given."""
        values = dict.fromkeys((field.name for field in fields(cls)), torch.zeros(frames))
        values.update(dict.fromkeys(("zoom", "red", "green", "blue", "contrast"), torch.ones(frames)))
        return cls(**{**values, **moved})


def true_opening(pose: Pose) -> Tensor:
    """(frames,): the drawn lip gap in the unit of `mouth_opening`."""
    return pose.opening * FULL_OPENING


def render(portrait: Portrait, pose: Pose, size: int = 256) -> Tensor:
    """Draw some frames at once: (frames, size, size, 3) uint8 RGB."""
    x, y, head = _trace_camera(portrait, pose, size)
    window = _window(x, y, portrait.mouth, (2.6, -1.0, NECK_END + 0.1))
    for slit in portrait.eyes:
        _trace_eyelid(slit, pose, x, y)
    inner = _trace_lips(portrait, pose, x, y, window) if window else None
    pixels = _sample(portrait, x, y)  # (frames, 3, size, size)
    if inner:
        rows, columns = window
        part = pixels[:, :, rows, columns]
        colour, alpha, shade = inner
        part.mul_(shade[:, None]).lerp_(colour, alpha[:, None])
    return _lit(pixels, pose, head).mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _smooth(x: Tensor) -> Tensor:
    """Smoothstep: 0 below 0, 1 above 1."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _each(values: Tensor) -> Tensor:
    """(frames,) -> (frames, 1, 1)."""
    return values[:, None, None]


def _trace_camera(portrait: Portrait, pose: Pose, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """x, y in the portrait of every pixel (frames, size, size), and how much each belongs to the head, 0..1.

    The head is a dome before a flat wall: its middle moves most with yaw and pitch, which fade to zero around it.
    """
    mouth, unit = portrait.mouth, portrait.mouth.half_width
    step = _each(portrait.size[1] * VIEW_WIDTH / size / pose.zoom)
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    columns, rows = axis[None, None, :] * step, axis[None, :, None] * step
    cos, sin = _each(pose.camera_roll.cos()), _each(pose.camera_roll.sin())
    x = mouth.centre[0] + _each(pose.pan_x) + cos * columns - sin * rows
    y = mouth.centre[1] - VIEW_ABOVE_MOUTH * unit + _each(pose.pan_y) + sin * columns + cos * rows

    dx = (x - mouth.centre[0]) / (HEAD_RADII[0] * unit)
    dy = (y - (mouth.centre[1] - HEAD_ABOVE_MOUTH * unit)) / (HEAD_RADII[1] * unit)
    radius = (dx * dx + dy * dy).sqrt_()
    head = _smooth((1.75 - radius) / 0.95)
    dome = _smooth((1.15 - radius) / 1.15)
    cos, sin = _each(pose.roll.cos()) - 1, _each(pose.roll.sin())
    nx, ny = x - mouth.centre[0], y - (mouth.centre[1] + NECK_BELOW_MOUTH * unit)
    x = x + head * (cos * nx + sin * ny) - dome * _each(pose.yaw)
    y = y + head * (cos * ny - sin * nx) - dome * _each(pose.pitch)
    return x, y, head


def _window(x: Tensor, y: Tensor, slit: Slit, reach: tuple[float, float, float]) -> tuple[slice, slice] | None:
    """The rows and columns that hold everything within reach (sideways, above, below) of a slit, in half widths."""
    u, v = slit.local(x, y)
    near = (u.abs() < reach[0] * slit.half_width) & (v > reach[1] * slit.half_width) & (v < reach[2] * slit.half_width)
    near = near.any(0)
    rows, columns = near.any(1).nonzero(), near.any(0).nonzero()
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _curve(table: Tensor, s: Tensor) -> Tensor:
    """A slit's edge at s in -1..1, zero outside."""
    position = (s.clamp(-1, 1) + 1) * ((len(table) - 1) / 2)
    low = position.long().clamp_(max=len(table) - 2)
    return torch.lerp(table[low], table[low + 1], position - low)


def _trace_eyelid(slit: Slit, pose: Pose, x: Tensor, y: Tensor) -> None:
    """Close the upper lid, in place: above the lid's edge the skin stretches, below it the eye is unchanged."""
    window = _window(x, y, slit, (1.5, -1.5, 0.8))
    if window is None or not bool((pose.blink > 0).any()):
        return
    part = (slice(None), *window)
    u, v = slit.local(x[part], y[part])
    s = u / slit.half_width
    upper, lower = _curve(slit.upper, s), _curve(slit.lower, s)
    drop = _each(pose.blink) * (lower - upper) * 0.95
    share = _smooth((v + 1.25 * slit.half_width) / (upper + drop + 1.25 * slit.half_width))
    v = torch.where(v < upper + drop, v - drop * share, v)
    x[part], y[part] = slit.portrait(u, v)


def _trace_lips(
    portrait: Portrait, pose: Pose, x: Tensor, y: Tensor, window: tuple[slice, slice]
) -> tuple[Tensor, Tensor, Tensor]:
    """Move lips, chin and cheeks, in place; returns the inner mouth's colour, its alpha and the lips' own shade."""
    part = (slice(None), *window)
    mouth, unit = portrait.mouth, portrait.mouth.half_width
    u, v = mouth.local(x[part], y[part])
    opening = _each(pose.opening)
    width = 1 + _each(WIDTH_GAIN * pose.width - ROUNDING_GAIN * pose.rounding - OPENING_GAIN * pose.opening)
    reach = (
        _smooth((WIDTH_REACH - u.abs() / unit) / 2.0)
        * _smooth((v / unit + NOSE) / NOSE)
        * _smooth((1.4 - v / unit) / 0.85)
    )
    moved_u = u * (1 + (1 / width - 1) * reach)
    s = moved_u / unit
    upper, lower = _curve(mouth.upper, s), _curve(mouth.lower, s)
    lip_line = torch.lerp(upper, lower, LIP_LINE)
    gap = opening * FULL_OPENING * portrait.eye_distance * (1 - s * s).clamp(min=0) ** 0.75
    top, bottom = lip_line - UPPER_SHARE * gap, lip_line + (1 - UPPER_SHARE) * gap

    jaw = opening * FULL_OPENING * portrait.eye_distance * (1 - UPPER_SHARE) * JAW_SHARE
    side = _smooth((JAW_OUTER - u.abs() / unit) / (JAW_OUTER - JAW_INNER))
    v_moved = v - jaw * side * _jaw_share(v, unit)
    rise = upper - INSET - (top - jaw * side * _jaw_share(top, unit))
    fall = lower + INSET - (bottom - jaw * side * _jaw_share(bottom, unit))
    inside = (s.abs() < 1).float()
    above = _smooth((v + NOSE * unit) / (top + NOSE * unit))
    below = 1 - _smooth((v - bottom - 0.22 * unit) / (1.0 * unit))
    corner = _smooth((1.12 - s.abs()) / 0.12)  # outside the corners the edges' inset fades out
    middle = (top + bottom) / 2
    v_skin = v_moved + corner * torch.where(v < middle, rise * above, fall * below)
    x[part], y[part] = mouth.portrait(moved_u, v_skin)

    alpha = ((v - top) / EDGE + 0.5).clamp(0, 1) * ((bottom - v) / EDGE + 0.5).clamp(0, 1)
    alpha = alpha * _smooth(gap / 1.2) * inside
    crease = 0.4 * torch.exp(-(((v - lip_line) / 0.9) ** 2)) * _smooth((1.05 - s.abs()) / 0.25) * (1 - _smooth(gap / 2))
    return _inner_mouth(portrait, u, v, top, bottom, gap), alpha, 1 - crease


def _jaw_share(v: Tensor, unit: float) -> Tensor:
    """Share of the jaw's drop at a position below the nose: 0 there, 1 at the chin, 0 at the collar."""
    return _smooth((v / unit + 0.3) / (CHIN + 0.3)) * (1 - _smooth((v / unit - CHIN_END) / (NECK_END - CHIN_END)))


def _inner_mouth(portrait: Portrait, u: Tensor, v: Tensor, top: Tensor, bottom: Tensor, gap: Tensor) -> Tensor:
    """(frames, 3, h, w): the portrait's own teeth, fixed to the skull, before a dark cavity with a tongue."""
    mouth, unit = portrait.mouth, portrait.mouth.half_width
    s = u / unit
    upper, lower = _curve(mouth.upper, s), _curve(mouth.lower, s)
    depth = ((v - top) / gap.clamp(min=1e-3)).clamp(0, 1)
    shallow, deep = (torch.tensor(colour)[None, :, None, None] for colour in (CAVITY_TOP, CAVITY_BOTTOM))
    cavity = torch.lerp(shallow, deep, depth[:, None])  # (frames, 3, h, w)
    tongue_top = bottom - 0.42 * gap * (1 - (s / 0.75) ** 2).clamp(min=0) ** 0.5
    tongue = _smooth((v - tongue_top) / (0.30 * gap + 0.5)) * _smooth((0.8 - s.abs()) / 0.3)
    tongue = 0.75 * tongue * _smooth((gap / unit - 0.25) / 0.3)
    colour = torch.lerp(cavity, torch.tensor(TONGUE)[None, :, None, None].expand_as(cavity), tongue[:, None])
    teeth_x, teeth_y = mouth.portrait(u, torch.maximum(v, upper + 1.0))
    teeth = _sample(portrait, teeth_x, teeth_y)
    visible = _smooth((lower - 0.3 - TEETH_RISE * gap - v) / 1.5) * _smooth((0.92 - s.abs()) / 0.2)
    shadow = 0.65 + 0.35 * _smooth((v - top) / 3.0)
    return torch.lerp(colour, teeth * shadow[:, None], visible[:, None])


def _sample(portrait: Portrait, x: Tensor, y: Tensor) -> Tensor:
    """(frames, 3, h, w) pixels of the portrait at x, y (frames, h, w); its border continues outside."""
    height, width = portrait.size
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    pixels = portrait.pixels[None].expand(len(x), -1, -1, -1)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _lit(pixels: Tensor, pose: Pose, head: Tensor) -> Tensor:
    """Light, colour and background, in place."""
    gain = torch.stack([pose.red, pose.green, pose.blue], 1)[:, :, None, None]
    across = torch.linspace(-1, 1, pixels.shape[-1])[None, None, None, :]
    pixels.add_(((1 - head) * _each(pose.wall))[:, None])
    pixels.sub_(0.45).mul_(_each(pose.contrast)[:, None]).add_(0.45)
    return pixels.mul_(gain * (1 + pose.light[:, None, None, None] * across))
