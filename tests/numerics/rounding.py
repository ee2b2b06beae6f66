"""Tolerances that follow from a number format and a network, not from the processor that the tests ran on.

Processors add in different orders, with other vector widths and with or without fused multiplication, so that no two
give the same float32 result. How far each may be from the exact one depends on the format, the depth, and how strongly
the network magnifies what goes in: a group norm over few values is nearly a step function (the seeded UNet on 8 x 8
latents, whose deepest norms see two values, is 25 times as sensitive in float16 as on 16 x 16), and a tolerance found
by trying holds for one machine only. So it is measured, in float64, which itself rounds too little to matter: disturb
every weight and input by half a unit in the last place of the format, and see what becomes of the result. That is what
storing them in the format costs; every operation between them rounds once more, which `MARGIN` allows for.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MARGIN = 8
"""Rounding of activations and sums, over that of weights and inputs: 0.8 is seen in half precision (whose sums are
float32's) and 2.4 to 3.1 in float32, with and without vectors. A fault in the arithmetic is off by far more."""

Run = Callable[..., Tensor]
"""``run(network, *inputs)``."""


def relative_error(found: Tensor | np.ndarray, exact: Tensor | np.ndarray) -> float:
    """Length of the difference over the length of `exact`; one number in thousands does not decide it."""
    found, exact = (torch.as_tensor(value).double() for value in (found, exact))
    return float((found - exact).norm() / exact.norm())


@torch.no_grad()
def exact_result(run: Run, network: torch.nn.Module, *inputs: Tensor) -> Tensor:
    """What `network` gives without rounding: float64 throughout."""
    return run(copy.deepcopy(network).double(), *(value.double() for value in inputs))


@torch.no_grad()
def rounding_bound(run: Run, network: torch.nn.Module, *inputs: Tensor, exact: Tensor, dtype: torch.dtype) -> float:
    """The relative error that computing in `dtype` may cause on any processor; `exact` is `exact_result`'s."""
    unit = torch.finfo(dtype).eps / 2
    source = torch.Generator().manual_seed(0)

    def disturbed(value: Tensor) -> Tensor:
        sign = 2 * torch.randint(0, 2, value.shape, generator=source, dtype=torch.float64) - 1
        return value.double() * (1 + unit * sign)

    other = copy.deepcopy(network).double()
    for weight in other.parameters():
        weight.copy_(disturbed(weight))
    return MARGIN * relative_error(run(other, *map(disturbed, inputs)), exact)
