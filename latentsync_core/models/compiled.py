"""torch.compile that is safe to switch on: where it cannot run, the network runs as it is and one sentence says why."""

import logging
from collections.abc import Callable
from typing import Any

import torch

from ..options import COMPILING

log = logging.getLogger(__name__)

MODES = dict(zip(COMPILING, (None, "default", "reduce-overhead"), strict=True))
"""What users choose, and torch's name for it; graphs: CUDA graphs as well, on a card."""


class CompiledForward:
    """The forward of a network, compiled at its first call; back to the plain one for good if that fails."""

    def __init__(self, forward: Callable[..., Any], mode: str):
        self.plain = forward
        self.compiled: Callable[..., Any] | None = torch.compile(forward, mode=mode)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.compiled is not None:
            try:
                return self.compiled(*args, **kwargs)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a compiler may fail in any way, and the run need not
                self.compiled = None
                log.warning(
                    "torch.compile does not work here (%s: %s); the network runs uncompiled.",
                    type(error).__name__,
                    next(iter(str(error).splitlines()), ""),
                )
        return self.plain(*args, **kwargs)


def compile_network(network: torch.nn.Module, mode: str) -> None:
    """Let a network's forward be compiled when it is first called; its tensors and their names stay. mode: of MODES."""
    if MODES[mode] is not None:
        network.forward = CompiledForward(network.forward, MODES[mode])
