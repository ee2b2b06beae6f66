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
TOOTH, SKIN_CAST = (1.22, 1.09, 0.9), 0.4  # of the skin's luma; share of the skin's own colour in it
CAVITY, TONGUE = (0.20, 0.11, 0.11), (0.56, 0.36, 0.38)  # of the skin's red, green and blue
# Eye distances, each of about 90 mm.
TEETH_END = 0.045  # below the line of shut lips
TEETH_RISE = 0.45  # by how much higher they end at the sides, per square of an eye distance from the middle
TEETH_REACH = 0.30  # to either side
GROOVES = (0.0, 0.094, 0.166, 0.238, 0.30)  # between two teeth, from the middle
GROOVE_WIDTH, GROOVE_SHADOW = 0.006, 0.18  # and the light that is lost there
SIDE_SHADOW = 0.7  # light lost on the outermost teeth
TONGUE_HEIGHT, TONGUE_WIDTH = 0.10, 0.85  # above the lower lip's edge; of the mouth's
USUAL_HALF_WIDTH = 0.3


def inner_mouth(faces: Sequence[FilmedFace]) -> InnerMouth:
    """What shows between the lips of a face, given some frames of it, best its widest open; drawn where none shows."""
    open_ones = [face for face in faces if shows_inside(face)]
    return filmed_inner_mouth(open_ones, drawn_inner_mouth) if open_ones else drawn_inner_mouth(faces[0])


def drawn_inner_mouth(face: FilmedFace) -> InnerMouth:
    """Teeth, tongue and dark in the colours of a face."""
    skin, (u, v) = face.skin, plane_grid(SCALE)
    end = float(resting_line(face.lips)[MIDDLE]) + TEETH_END - TEETH_RISE * u**2
    alpha = smooth_step((end - v) * SCALE / 2 + 0.5) * smooth_step((TEETH_REACH - u.abs()) / 0.05)
    grooves = sum(torch.exp(-(((u.abs() - groove) / GROOVE_WIDTH) ** 2)) for groove in GROOVES)
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
