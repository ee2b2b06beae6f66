"""The inside of a mouth that a clip never shows: a row of upper teeth, a tongue and the dark, in the face's colours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .filmed_face import FilmedFace
from .inner_mouth import LUMA, InnerMouth, filmed_inner_mouth, layer, lip_grid, plane_grid, shows_inside
from .lips import MIDDLE
from .reshape import resting_line
from .warp import smooth_step

SCALE = 300.0  # texture pixels per eye distance
TOOTH, SKIN_CAST = (1.3, 1.16, 0.98), 0.2  # of the skin's luma; share of the skin's own colour in it
CAVITY, TONGUE = (0.20, 0.11, 0.11), (0.56, 0.36, 0.38)  # of the skin's red, green and blue
# Eye distances, each of about 90 mm.
TEETH_END = 0.045  # below the line of shut lips
TEETH_RISE = 0.45  # by how much higher they end at the sides, per square of an eye distance from the middle
TEETH_REACH = 0.25  # to either side
GROOVES = (0.0, 0.088, 0.152, 0.21)  # between two teeth, from the middle
GROOVE_WIDTH, GROOVE_RISE, GROOVE_SHADOW = 0.008, 0.006, 0.18  # by how much teeth end higher there; light lost there
SIDE_SHADOW = 0.85  # light lost on the outermost teeth
TONGUE_HEIGHT, TONGUE_WIDTH = 0.10, 0.85  # above the lower lip's edge; of the mouth's
USUAL_HALF_WIDTH = 0.3


def inner_mouth(faces: Sequence[FilmedFace]) -> InnerMouth:
    """What shows between the lips of a face, given some frames of it, best its widest open; drawn where none shows."""
    open_ones = [face for face in faces if shows_inside(face)]
    return filmed_inner_mouth(open_ones, drawn_inner_mouth) if open_ones else drawn_inner_mouth(faces[0])


def drawn_inner_mouth(face: FilmedFace) -> InnerMouth:
    """Teeth, tongue and dark in the colours of a face."""
    skin, (u, v) = face.skin, plane_grid(SCALE)
    grooves = sum(torch.exp(-(((u.abs() - groove) / GROOVE_WIDTH) ** 2)) for groove in GROOVES)
    line = float(resting_line(face.lips)[MIDDLE])
    end = line + TEETH_END - TEETH_RISE * u**2 - GROOVE_RISE * grooves
    alpha = smooth_step((end - v) * SCALE / 3 + 0.5) * smooth_step((TEETH_REACH - u.abs()) / 0.05)
    light = (1 - GROOVE_SHADOW * grooves) * (1 - SIDE_SHADOW * (u / TEETH_REACH) ** 2).clamp(min=0)
    tooth = torch.lerp((skin @ LUMA) * torch.tensor(TOOTH), skin, SKIN_CAST)
    upper = layer(tooth[:, None, None] * light, alpha)
    return InnerMouth(upper, drawn_tongue(skin), SCALE, skin * torch.tensor(CAVITY), skin)


def drawn_tongue(skin: Tensor) -> Tensor:
    """A tongue behind the lower lip, as the lower layer of an inner mouth: (4, h, w)."""
    place, height = lip_grid(SCALE, USUAL_HALF_WIDTH)
    top = TONGUE_HEIGHT * (1 - (place / TONGUE_WIDTH) ** 2).clamp(min=0) ** 0.5
    light = 1 - 0.35 * (height / TONGUE_HEIGHT).clamp(max=1) - 0.25 * place**2
    alpha = 0.9 * smooth_step((top - height) / (0.7 * TONGUE_HEIGHT) + 0.3)
    return layer((skin * torch.tensor(TONGUE))[:, None, None] * light, alpha)
