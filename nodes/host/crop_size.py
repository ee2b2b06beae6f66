"""Which size of face crop a model wants, and what is said where the faces have another."""

import torch

from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.models.loading import working_resolution
from .messages import warnings_in_node

PIXELS_PER_LATENT = 8


def chosen_crop_size(asked: int, wanted: int | None) -> int:
    """The crop size in pixels: `asked`, or for 0 the one `wanted` by the connected model; warns where they differ.

    Raises LatentSyncError for 0 where no model says what it wants.
    """
    if not (asked or wanted):
        raise LatentSyncError(
            "resolution is 0, the model's own, but no model is connected that says which that is: connect the model to "
            "Face Encode, or the resolution of LatentSync Load Model."
        )
    with warnings_in_node():
        return working_resolution(asked or None, wanted, "the connected model")


def warn_of_crop_size(condition: torch.Tensor, wanted: int | None) -> None:
    """Warn where faces (frames, 9, h, w) have another size than the model that samples them wants."""
    with warnings_in_node():
        working_resolution(condition.shape[-1] * PIXELS_PER_LATENT, wanted, "the connected model")
