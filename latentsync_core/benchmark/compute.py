"""Floating-point operations: how many a piece of work needs, and how many per second a device can do."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from .timing import synchronize

Result = TypeVar("Result")
PEAK_SECONDS = 0.05  # of products, after one that warms up
PEAK_SIDE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the matrices: beyond it the rate hardly grows
OTHER_SIDE = 4096  # on any other kind of device


def attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Operations of one fused attention by the shapes of its inputs."""
    return sdpa_flop_count(query, key, value)


# torch's own table has the GPU's kernels only.
UNLISTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}


def count_flops(work: Callable[[], Result]) -> tuple[Result, int]:
    """What `work` returns, and its operations in convolutions, matrix products and attention; 1 multiply-add = 2."""
    with FlopCounterMode(display=False, custom_mapping=UNLISTED) as counter:
        result = work()
    return result, counter.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest product of two large square matrices on `device` within a moment."""
    side = PEAK_SIDE.get(device.type, OTHER_SIDE)
    left, right = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
    fastest, until = float("inf"), None
    while until is None or time.perf_counter() < until:
        synchronize(device)
        started = time.perf_counter()
        left @ right
        synchronize(device)
        now = time.perf_counter()
        fastest = fastest if until is None else min(fastest, now - started)
        until = until or now + PEAK_SECONDS
    return 2 * side**3 / fastest
