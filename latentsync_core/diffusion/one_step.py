"""MuseTalk's single pass: masked and whole face in, redrawn face out, without noise, schedule and guidance."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..models.unet import UNet3DConditionModel
from .batching import WindowBatch
from .sample import NonFiniteLatentsError
from .windows import Window

TIMESTEP = 0  # the network has a time embedding, and was trained at this time alone

WindowFaces = Callable[[Window], tuple[Tensor, Tensor]]
"""What the frames of a window are redrawn from: faces (f, 8, h, w) and tokens (f, n, d), as of `redraw_latents`."""


def redraw_windows(
    unet: UNet3DConditionModel, windows: Sequence[Window], faces: WindowFaces, batch: WindowBatch
) -> Iterator[tuple[Sequence[Window], Tensor]]:
    """Redraw windows in order, as many at once as the batch says, one by one once the memory does not suffice.

    Yields the windows of every pass and the latents of all their frames, (f, 4, h, w), see `redraw_latents`. A window
    is no more than some frames here: its length changes nothing but rounding.
    """
    start = 0
    while start < len(windows):
        part = windows[start : start + batch.at_once]
        yield part, redraw_part(unet, part, faces, batch)
        start += len(part)


def redraw_part(
    unet: UNet3DConditionModel, windows: Sequence[Window], faces: WindowFaces, batch: WindowBatch
) -> Tensor:
    """Several windows in one pass, or in one each."""
    inputs = [faces(window) for window in windows]
    try:
        return redraw_latents(unet, *(torch.cat(kind) for kind in zip(*inputs, strict=True)))
    except torch.OutOfMemoryError:
        if len(windows) == 1:
            raise
    # Outside of the handler, whose error holds on to what was computed so far.
    batch.go_on_one_by_one()
    return torch.cat([redraw_latents(unet, *one) for one in inputs])


@torch.inference_mode()
def redraw_latents(unet: UNet3DConditionModel, faces: Tensor, tokens: Tensor) -> Tensor:
    """One pass over some frames, each of which is a window of its own (REFERENCE section 2).

    unet: without motion modules. faces: (f, 8, h, w), scaled latents of the masked and of the whole face. tokens:
    (f, n, d), positions included where they are wanted. Returns (f, 4, h, w) float32 scaled latents on the CPU; any
    number of frames at once gives the same. Raises NonFiniteLatentsError for NaN or infinity.
    """
    faces, tokens = (tensor.to(device=unet.device, dtype=unet.dtype) for tensor in (faces, tokens))
    redrawn = unet(faces[:, :, None], TIMESTEP, tokens)[:, :, 0].float().cpu()
    if not torch.isfinite(redrawn).all():
        raise NonFiniteLatentsError(f"one pass over {len(redrawn)} frames")
    return redrawn
