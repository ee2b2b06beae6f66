"""The precision of forward passes in training."""

import torch

from ..models.loading import DTYPES


def mixed_precision(device: torch.device, precision: str) -> torch.autocast:
    """A context in which matrix products run in `precision` (fp32, bf16 or fp16), the weights staying float32."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
