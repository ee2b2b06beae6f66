"""What shows between parted lips: teeth, tongue and the dark behind them, as textures.

They are taken from the frame of the clip that shows most of them (drawn_mouth.py draws them where none does). Upper
teeth stay with the skull, lower teeth and tongue go with the lower lip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...faces.resample import sample_bilinear
from .filmed_face import FilmedFace
from .warp import Motion, along, smooth_step

HALF_WIDTH, ABOVE, BELOW = 0.45, 0.15, 0.45  # eye distances that the textures cover around the mouth's middle
INSET, LOWER_INSET = 0.012, 0.02  # eye distances from the upper and lower lip's edge, within which nothing is taken
DARK = 0.6, 0.5  # of the teeth's luma and of the skin's, below which a row is taken for the dark behind teeth
SHOWS_TEETH = 0.07  # eye distances of a gap that shows what is inside
BLEND = 0.12  # of the gap, over which the two layers fade
LIP_SHADOW, SHADOW_DEPTH = 0.6, 0.04  # of the light just below the upper lip; eye distances to full light
SLIT_LIGHT, SLIT = 0.35, 0.07  # of the light inside a mouth that hardly opens; eye distances of a gap with full light
TINT = torch.tensor([1.0, 1.15, 1.3])[:, None, None]  # exponents of red, green and blue: what is in shadow is redder
CORNER_SHADOW, CORNER_DEPTH = 0.6, 0.4  # of the light in the corners; half widths to full light
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


@dataclass(frozen=True, eq=False)
class MouthView:
    """Where a frame shows the inside of a mouth: colours at points of the face's plane, and the edges of the lips.

    colour: (u, v), each (h, w) -> (3, h, w) in 0..255. edges: (SAMPLES, 2) v of the upper and lower edge. centre, half:
    u of the middle and half the width of the mouth.
    """

    colour: Callable[[Tensor, Tensor], Tensor]
    edges: Tensor
    centre: float
    half: float

    @classmethod
    def of(cls, face: FilmedFace) -> "MouthView":
        planes, matrix, lips = face.planes, face.plane.tolist(), face.lips

        def colour(u: Tensor, v: Tensor) -> Tensor:
            x, y = (row[0] * u + row[1] * v + row[2] for row in matrix)
            return sample_bilinear(planes, x, y, padding="border")

        edges = torch.from_numpy(np.stack([lips.upper, lips.lower], 1)).float()
        return cls(colour, edges, float(lips.corners[:, 0].mean()), lips.width / 2)

    def gap(self, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """v of the upper and the lower edge, and their distance, at places -1..1 from corner to corner."""
        top, bottom = along(self.edges, place)
        return top, bottom, (bottom - top).clamp(min=1e-4)


def filmed_inner_mouth(faces: Sequence[FilmedFace], drawn: Callable[[FilmedFace], InnerMouth]) -> InnerMouth:
    """What the best of some open mouths shows: the widest, where its teeth are bright.

    drawn: gives what was not seen.
    """
    face = max(faces, key=lambda face: face.lips.opening * brightness(face))
    view, scale, rest = MouthView.of(face), float(np.linalg.norm(face.plane[:, 0])), drawn(face)
    split, dark = teeth_and_dark(view, face.skin)
    upper = upper_layer(view, scale, split)
    if dark is None:  # shut teeth hide what is below and behind them
        return InnerMouth(upper, rest.lower, scale, rest.cavity, face.skin)
    return InnerMouth(upper, lower_layer(view, scale, split), scale, dark, face.skin)


def shows_inside(face: FilmedFace) -> bool:
    """Whether something dark, or paler than skin, is seen between the lips, and not lips alone by a wrong mesh."""
    if face.lips.opening < SHOWS_TEETH:
        return False
    rows = samples_between(MouthView.of(face))[0].mean(2, keepdim=True)  # (3, rows, 1)
    skin = face.skin[:, None, None]
    return bool(luma(rows).min() < DARK[1] * luma(skin) or redness(rows).min() < redness(skin))


def brightness(face: FilmedFace) -> float:
    """Luma of the brightest tenth between the lips over that of the skin."""
    colour = samples_between(MouthView.of(face))[0]
    return float(luma(colour).quantile(0.9) / luma(face.skin[:, None, None]).clamp(min=1.0))


def luma(colour: Tensor) -> Tensor:
    """(3, h, w) -> (h, w)."""
    return (colour * LUMA[:, None, None]).sum(0)


def redness(colour: Tensor) -> Tensor:
    """Red less the mean of green and blue, over the mean of all: (3, h, w) -> (h, w)."""
    return (colour[0] - colour[1:].mean(0)) / colour.mean(0).clamp(min=1.0)


def samples_between(view: MouthView) -> tuple[Tensor, Tensor]:
    """Colours (3, 24, 24) of the middle half of a mouth, from its upper to its lower lip, and each row's depth 0..1."""
    place, depth = torch.meshgrid(torch.linspace(-0.5, 0.5, 24), torch.linspace(0.1, 0.9, 24), indexing="xy")
    top, _, gap = view.gap(place)
    return view.colour(view.centre + view.half * place, top + depth * gap), depth[:, 0]


def teeth_and_dark(view: MouthView, skin: Tensor) -> tuple[float, Tensor | None]:
    """Where the upper teeth end, as a share of the gap, and the colour (3,) of the dark below; 1, None without any."""
    colour, depth = samples_between(view)
    light = luma(colour)
    rows = light.mean(1)
    darkest = int(rows.argmin())
    teeth, face = rows[: len(rows) // 2].max(), luma(skin[:, None, None])
    if rows[darkest] > DARK[0] * teeth or rows[darkest] > DARK[1] * face:
        return 1.0, None
    return float(depth[darkest]), colour[:, light <= light.quantile(0.1)].mean(1)


def plane_grid(scale: float) -> tuple[Tensor, Tensor]:
    """u and v of the upper layer's pixels: (h, w) each."""
    u = (torch.arange(round(2 * HALF_WIDTH * scale)) + 0.5) / scale - HALF_WIDTH
    v = (torch.arange(round((ABOVE + BELOW) * scale)) + 0.5) / scale - ABOVE
    return tuple(torch.meshgrid(u, v, indexing="xy"))


def lip_grid(scale: float, half: float) -> tuple[Tensor, Tensor]:
    """Place from corner to corner, and height above the lower lip's edge, of the lower layer's pixels: (h, w) each."""
    place, height = torch.linspace(-1, 1, round(2 * half * scale)), torch.linspace(0, BELOW, round(BELOW * scale))
    return tuple(torch.meshgrid(place, height, indexing="xy"))


def upper_layer(view: MouthView, scale: float, split: float) -> Tensor:
    """What is seen down to a share `split` of the gap; above the lip's edge the topmost row goes on."""
    u, v = plane_grid(scale)
    place = (u - view.centre) / view.half
    top, bottom, gap = view.gap(place)
    end = torch.minimum(top + split * gap, bottom - LOWER_INSET)
    alpha = smooth_step((end - v) / (BLEND * gap) + 0.5) * inside_corners(place)
    return layer(view.colour(u, torch.maximum(v, top + INSET)), alpha)


def lower_layer(view: MouthView, scale: float, split: float) -> Tensor:
    """What is seen below that share of the gap; at the lower lip's edge the lowest row goes on."""
    place, height = lip_grid(scale, view.half)
    _, bottom, gap = view.gap(place)
    alpha = smooth_step((1 - height / gap - split) / BLEND + 0.5) * inside_corners(place)
    return layer(view.colour(view.centre + view.half * place, bottom - height.clamp(min=LOWER_INSET)), alpha)


def layer(colour: Tensor, alpha: Tensor) -> Tensor:
    """Colours (3, h, w) with their alpha (h, w) as one texture (4, h, w)."""
    return torch.cat([colour * alpha, alpha[None]])


def inside_corners(place: Tensor) -> Tensor:
    """1 between the corners of the mouth, fading to 0 just before them."""
    return smooth_step((0.97 - place.abs()) / 0.1)


def inner_colours(inner: InnerMouth, u: Tensor, v: Tensor, moved: Motion, skin: Tensor) -> Tensor:
    """The colours between the lips at the points (u, v) of the face's plane: (3, h, w) in 0..255.

    skin: (3,) of the face beside the mouth by now, to whose light they are brought.
    """
    x, y = (u + HALF_WIDTH) * inner.scale - 0.5, (v + ABOVE) * inner.scale - 0.5
    upper = sample_bilinear(inner.upper, x, y, padding="zeros")
    height, width = inner.lower.shape[1:]
    across, up = (moved.place + 1) / 2 * (width - 1), moved.above_lower.clamp(min=0) / BELOW * (height - 1)
    lower = sample_bilinear(inner.lower, across, up, padding="zeros")
    colour = inner.cavity[:, None, None] * (1 - lower[3:]) + lower[:3]
    colour = colour * (1 - upper[3:]) + upper[:3]
    gain = skin / inner.skin.clamp(min=1.0)
    return colour * gain[:, None, None] * light_inside(moved) ** TINT


def light_inside(moved: Motion) -> Tensor:
    """Share of the light that falls between the lips: less below the upper one, in the corners, through a slit."""
    shade = LIP_SHADOW + (1 - LIP_SHADOW) * smooth_step(moved.below_upper / SHADOW_DEPTH)
    shade = shade * (CORNER_SHADOW + (1 - CORNER_SHADOW) * smooth_step((1 - moved.place.abs()) / CORNER_DEPTH))
    return shade * (SLIT_LIGHT + (1 - SLIT_LIGHT) * smooth_step((moved.below_upper + moved.above_lower) / SLIT))
