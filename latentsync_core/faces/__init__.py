"""Detect a face, track it, crop it aligned, and paste a generated one back."""

from .align import alignment_matrices, crop_size
from .box import Box, box_region, crop_box, moved_box, paste_box
from .crop import crop_face, warp_crop
from .face_track import FaceState, FaceTrack
from .mask import LATENT_STRIDE, composite_crop, fixed_mask, latent_mask
from .musetalk_crop import (
    jaw_contours,
    jaw_share,
    mask_lower_half,
    musetalk_boxes,
    square_crop,
    track_boxes,
    upper_half,
)
from .networks.nets import FaceNets
from .paste import (
    PastedRegion,
    face_region,
    paste_face,
    paste_region,
    shifted_matrix,
    soft_mask,
)
from .seam import MouthMasks, Seam, match_color, mouth_masks, mouth_share, read_limit
from .tracking.fade import FadeLimits, effect_strength, why_unshown
from .tracking.gaps import without_gaps
from .tracking.people import People, Person, track_people
from .tracking.search import TrackingSettings
from .tracking.selection import (
    FaceSelection,
    choose,
    mask_selection,
    parse_face,
    track_numbered,
    track_selected,
)
from .tracking.track_faces import track_faces

__all__ = [
    "FaceSelection",
    "People",
    "Person",
    "choose",
    "mask_selection",
    "parse_face",
    "track_numbered",
    "track_people",
    "track_selected",
    "LATENT_STRIDE",
    "Box",
    "FaceNets",
    "FaceState",
    "FaceTrack",
    "FadeLimits",
    "MouthMasks",
    "PastedRegion",
    "Seam",
    "TrackingSettings",
    "alignment_matrices",
    "box_region",
    "composite_crop",
    "crop_box",
    "crop_face",
    "crop_size",
    "effect_strength",
    "face_region",
    "fixed_mask",
    "jaw_contours",
    "jaw_share",
    "latent_mask",
    "mask_lower_half",
    "match_color",
    "mouth_masks",
    "mouth_share",
    "moved_box",
    "musetalk_boxes",
    "paste_box",
    "paste_face",
    "paste_region",
    "read_limit",
    "shifted_matrix",
    "soft_mask",
    "square_crop",
    "track_boxes",
    "track_faces",
    "upper_half",
    "warp_crop",
    "why_unshown",
    "without_gaps",
]
