"""What a generator sees of a face and a voice, in training as at inference: the crop, its hidden part, the channels."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..audio import indices_at, musetalk_indices_at
from ..faces import crop_box, fixed_mask, mask_lower_half, square_crop, track_boxes
from ..media import Frame
from ..pipeline.plan import Plan

CHIN_MARGIN = 0.2  # at most, of the distance from the bridge of the nose to the chin


class GeneratorInputs(Protocol):
    """How one generator's inputs are made.

    name: the generator's, as in the config's model.generator. unet: entries of its UNet's config that are not the
    defaults. cache_key: what prepared clips are told apart by. record: what its checkpoints have to say of it.
    """

    name: str
    unet: ClassVar[dict]
    cache_key: tuple[str, ...]
    record: ClassVar[dict[str, str]]

    def crops(self, plan: Plan, frames: Iterable[Frame]) -> Iterator[tuple[int, np.ndarray]]:
        """(source frame, uint8 (r, r, 3)) of each of some frames, as they come."""

    def placement(self, plan: Plan) -> dict[str, Tensor]:
        """Where each source frame's crop lies in it, by name: (N, ...)."""

    def mask(self, resolution: int) -> Tensor:
        """(r, r) float32, 1 = kept, 0 = regenerated."""

    def masked(self, pixels: Tensor) -> Tensor:
        """(f, 3, r, r) in [-1, 1] with what is regenerated hidden."""

    def condition(self, masked: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """Latents (f, 4, h, w) of both and the mask at their size -> (1, c, f, h, w), the UNet's conditioning."""

    def steps(self, length: int, times: Sequence[Fraction]) -> Tensor:
        """The feature steps of frames shown at `times` (seconds), of `length`: (frames, 10) int64."""


class LatentSyncInputs:
    """An upright aligned crop, the mouth zeroed behind the fixed mask, nine channels (REFERENCE section 1)."""

    name, cache_key = "latentsync", ()
    unet: ClassVar[dict] = {}
    record: ClassVar[dict[str, str]] = {"generator": "latentsync"}

    def crops(self, plan: Plan, frames: Iterable[Frame]) -> Iterator[tuple[int, np.ndarray]]:
        return plan.crops.alignment.crops(frames)

    def placement(self, plan: Plan) -> dict[str, Tensor]:
        return {"matrices": torch.from_numpy(plan.crops.alignment.matrices)}

    def mask(self, resolution: int) -> Tensor:
        return fixed_mask(resolution)

    def masked(self, pixels: Tensor) -> Tensor:
        return pixels * self.mask(pixels.shape[-1])

    def condition(self, masked: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        stacked = torch.cat([mask.expand(len(masked), 1, *mask.shape), masked, reference], dim=1)
        return rearrange(stacked, "f c h w -> 1 c f h w")

    def steps(self, length: int, times: Sequence[Fraction]) -> Tensor:
        return indices_at(length, times)


class MuseTalkInputs:
    """A box stretched to a square, its lower half black, eight channels (REFERENCE section 2).

    The box ends at the chin, whose height shows how far the mouth is open: at inference that is the source's mouth, not
    the one to be drawn. So every frame of a clip gets a random margin below the chin, from which nothing can be told;
    MuseTalk 1.5 was trained in the same way.
    """

    name, cache_key = "musetalk", ("musetalk",)
    unet: ClassVar[dict] = {"in_channels": 8, "use_motion_module": False}
    record: ClassVar[dict[str, str]] = {"generator": "musetalk", "musetalk_release": "1.5"}

    def crops(self, plan: Plan, frames: Iterable[Frame]) -> Iterator[tuple[int, np.ndarray]]:
        boxes, side = self.placement(plan)["boxes"].tolist(), plan.settings.resolution
        for frame in frames:
            yield frame.index, square_crop(crop_box(frame.rgb(), boxes[frame.index]), side)

    def placement(self, plan: Plan) -> dict[str, Tensor]:
        boxes = track_boxes(plan.track, release="1.0")
        seed = list(plan.inputs.video.path.name.encode())
        margins = np.random.default_rng(seed).uniform(0, CHIN_MARGIN, len(boxes))
        boxes[:, 3] += np.rint(margins * (boxes[:, 3] - boxes[:, 1]) / 2).astype(np.int64)
        boxes[:, 3] = np.minimum(boxes[:, 3], plan.track.height)
        return {"boxes": torch.from_numpy(boxes)}

    def mask(self, resolution: int) -> Tensor:
        kept = torch.zeros(resolution, resolution)
        kept[: resolution // 2] = 1
        return kept

    def masked(self, pixels: Tensor) -> Tensor:
        return mask_lower_half(pixels)

    def condition(self, masked: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        return rearrange(torch.cat([masked, reference], dim=1), "f c h w -> 1 c f h w")

    def steps(self, length: int, times: Sequence[Fraction]) -> Tensor:
        return musetalk_indices_at(length, times)


INPUTS: dict[str, GeneratorInputs] = {inputs.name: inputs for inputs in (LatentSyncInputs(), MuseTalkInputs())}
