"""What shows between parted lips: teeth, tongue and the dark behind them, as a texture on the face's plane.

It is taken from the frame of the clip that shows most of it, or drawn in the colours of the face where none does. Upper
teeth stay with the skull, lower teeth and tongue go with the lower lip.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.resample import planes_from_image
from .face_plane import on_plane
from .lips import measured_lips
from .warp import Motion, along, smooth_step

HALF_WIDTH, ABOVE, BELOW = 0.45, 0.15, 0.45  # eye distances that a texture covers around the mouth's middle
LEAST_SHOWN = 0.07  # eye distances: a gap that shows something
INSET = 0.012  # eye distances from the lips' edges, within which nothing is taken
DARK = 0.6  # of the teeth's luma, below which a row is taken for the dark behind them
DRAWN_SCALE = 300.0  # texture pixels per eye distance of what is drawn
LIP_SHADOW, SHADOW_DEPTH = 0.6, 0.04  # of the light just below the upper lip; eye distances to full light
CORNER_SHADOW = 0.6  # of the light in the corners
TOOTH, SKIN_CAST = (1.2, 1.09, 0.94), 0.3  # of the skin's luma; share of the skin's own colour in it
# Shares of the skin's red, green and blue.
CAVITY = (0.20, 0.11, 0.11)
TONGUE = (0.56, 0.36, 0.38)
# Teeth as they are drawn, in eye distances: of about 90 mm.
TEETH_END, TEETH_RISE, TEETH_REACH = 0.045, 0.45, 0.30  # below the lips' line; by how much higher at the sides, per u^2
TOOTH_BORDERS = (0.0, 0.094, 0.166, 0.238, 0.30)  # from the middle
TOOTH_GROOVE = 0.18  # of the light that is lost between two teeth
TONGUE_HEIGHT = 0.10  # above the lower lip
LUMA = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class InnerMouth:
    """Two layers over the dark: what stays with the skull, and what goes with the lower lip.

    Colours in 0..255 times their alpha, and alpha. upper: (4, h, w) over the face's plane, `scale` pixels per eye
    distance. lower: (4, h, w) from corner to corner and from the lower lip's edge upwards. cavity: (3,) colour of the
    dark. skin: (3,) of the face beside the mouth where it was seen.
    """

    upper: Tensor
    lower: Tensor
    scale: float
    cavity: Tensor
    skin: Tensor


def skin_colour(region: np.ndarray, mesh: np.ndarray) -> Tensor:
    """The mean colour of a face beside its mouth and on its chin: (3,) float32 in 0..255."""
    points = mesh[[50, 280, 205, 425, 199, 207, 427], :2]
    columns = np.clip(np.round(points[:, 0]).astype(int), 1, region.shape[1] - 2)
    rows = np.clip(np.round(points[:, 1]).astype(int), 1, region.shape[0] - 2)
    patches = [region[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3) for x, y in zip(columns, rows, strict=True)]
    return torch.from_numpy(np.concatenate(patches).mean(0)).float()


def texture_grid(scale: float) -> tuple[Tensor, Tensor]:
    """u and v of a texture's pixels: (h, w) each."""
    width, height = round(2 * HALF_WIDTH * scale), round((ABOVE + BELOW) * scale)
    u = (torch.arange(width) + 0.5) / scale - HALF_WIDTH
    v = (torch.arange(height) + 0.5) / scale - ABOVE
    return u.expand(height, width), v[:, None].expand(height, width)


def filmed_inner_mouth(region: np.ndarray, mesh: np.ndarray, plane: np.ndarray) -> InnerMouth:
    """What a frame shows between its lips."""
    lips = measured_lips(on_plane(plane, mesh))
    scale = float(np.linalg.norm(plane[:, 0]))
    planes, matrix = planes_from_image(region).float(), torch.from_numpy(plane).float()

    def seen(u: Tensor, v: Tensor) -> Tensor:
        x, y = (matrix[k, 0] * u + matrix[k, 1] * v + matrix[k, 2] for k in (0, 1))
        return sample(planes, x, y)

    edges = torch.from_numpy(np.stack([lips.upper, lips.lower], 1)).float()
    centre, half = float(lips.corners[:, 0].mean()), lips.width / 2
    split, cavity = teeth_and_dark(seen, edges, centre, half)

    u, v = texture_grid(scale)
    place = (u - centre) / half
    top, bottom = along(edges, place)
    gap = (bottom - top).clamp(min=1e-4)
    # above the filmed edge the topmost row goes on, as a lip may be raised further
    colour = seen(u, torch.maximum(v, top + INSET))
    end = torch.minimum(top + split * gap, bottom - INSET)
    alpha = smooth_step((end - v) / (0.12 * gap) + 0.5) * smooth_step((0.97 - place.abs()) / 0.1)
    upper = torch.cat([colour * alpha, alpha[None]])

    skin = skin_colour(region, mesh)
    if split == 1:  # shut teeth: below them it is drawn
        return InnerMouth(upper, drawn_tongue(skin), scale, skin * torch.tensor(CAVITY), skin)
    place, height = lower_grid(scale, half)
    top, bottom = along(edges, place)
    gap = (bottom - top).clamp(min=1e-4)
    colour = seen(centre + half * place, bottom - height.clamp(min=INSET))
    alpha = smooth_step((1 - height / gap - split) / 0.12 + 0.5) * smooth_step((0.97 - place.abs()) / 0.1)
    return InnerMouth(upper, torch.cat([colour * alpha, alpha[None]]), scale, cavity, skin)


def lower_grid(scale: float, half: float) -> tuple[Tensor, Tensor]:
    """Place from corner to corner, and height above the lower lip's edge, of the lower layer's pixels: (h, w) each."""
    place, height = torch.linspace(-1, 1, round(2 * half * scale)), torch.linspace(0, BELOW, round(BELOW * scale))
    return tuple(torch.meshgrid(place, height, indexing="xy"))


def drawn_inner_mouth(skin: Tensor) -> InnerMouth:
    """Teeth and tongue for a face that shows none, in the colours of its skin, (3,) in 0..255."""
    scale = DRAWN_SCALE
    u, v = texture_grid(scale)
    end = TEETH_END - TEETH_RISE * u**2
    alpha = smooth_step((end - v) * scale / 2 + 0.5) * smooth_step((TEETH_REACH - u.abs()) / 0.05)
    groove = sum(torch.exp(-(((u.abs() - border) / 0.006) ** 2)) for border in TOOTH_BORDERS)
    round_off = 1 - 0.7 * (u / TEETH_REACH) ** 2
    light = (1 - TOOTH_GROOVE * groove) * round_off
    colour = torch.lerp((skin @ LUMA) * torch.tensor(TOOTH), skin, SKIN_CAST)[:, None, None] * light
    return InnerMouth(
        torch.cat([colour * alpha, alpha[None]]), drawn_tongue(skin), scale, skin * torch.tensor(CAVITY), skin
    )


def drawn_tongue(skin: Tensor) -> Tensor:
    """The lower layer of an inner mouth whose tongue was not seen: (4, h, w)."""
    place, height = lower_grid(DRAWN_SCALE, 0.3)
    top = TONGUE_HEIGHT * (1 - (place / 0.85) ** 2).clamp(min=0) ** 0.5
    alpha = 0.9 * smooth_step((top - height) / 0.07 + 0.3)
    light = 1 - 0.35 * (height / TONGUE_HEIGHT).clamp(max=1) - 0.25 * place**2
    colour = (skin * torch.tensor(TONGUE))[:, None, None] * light
    return torch.cat([colour * alpha, alpha[None]])


def teeth_and_dark(seen, edges: Tensor, centre: float, half: float) -> tuple[float, Tensor | None]:
    """Where, as a share of the gap, the upper teeth end, 1 where nothing dark shows below them; the dark's colour."""
    place, depth = torch.meshgrid(torch.linspace(-0.5, 0.5, 24), torch.linspace(0.1, 0.9, 24), indexing="xy")
    top, bottom = along(edges, place)
    colour = seen(centre + half * place, top + depth * (bottom - top))
    luma = (colour * LUMA[:, None, None]).sum(0)
    rows = luma.mean(1)
    dark = colour[:, luma <= luma.quantile(0.1)].mean(1)
    darkest = int(rows.argmin())
    if rows[darkest] > DARK * rows[:12].max():
        return 1.0, None
    return float(depth[darkest, 0]), dark


def sample(planes: Tensor, x: Tensor, y: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Planes (c, h, w) at pixel coordinates (H, W), whole numbers being pixel centres: (c, H, W)."""
    height, width = planes.shape[-2:]
    grid = torch.stack([x * (2 / width) + (1 / width - 1), y * (2 / height) + (1 / height - 1)], dim=-1)
    return F.grid_sample(planes[None], grid[None], mode=mode, padding_mode=padding, align_corners=False)[0]


def inner_colours(inner: InnerMouth, u: Tensor, v: Tensor, moved: Motion, gain: Tensor) -> Tensor:
    """The colours between the lips at the points (u, v) of the face's plane: (3, h, w) in 0..255."""
    upper = sample(inner.upper, (u + HALF_WIDTH) * inner.scale - 0.5, (v + ABOVE) * inner.scale - 0.5, padding="zeros")
    height, width = inner.lower.shape[1:]
    across, up = (moved.place + 1) / 2 * (width - 1), moved.above_lower / BELOW * (height - 1)
    lower = sample(inner.lower, across, up.clamp(min=0), padding="zeros")
    colour = inner.cavity[:, None, None] * (1 - lower[3:]) + lower[:3]
    colour = colour * (1 - upper[3:]) + upper[:3]
    shade = LIP_SHADOW + (1 - LIP_SHADOW) * smooth_step(moved.below_upper / SHADOW_DEPTH)
    shade = shade * (CORNER_SHADOW + (1 - CORNER_SHADOW) * smooth_step((1 - moved.place.abs()) / 0.4))
    return colour * gain[:, None, None] * shade
