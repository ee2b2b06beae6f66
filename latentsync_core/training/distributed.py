"""One process or several: torch.distributed as torchrun starts it; without it a single process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..models.loading import choose_device


@dataclass(frozen=True)
class Processes:
    """This process's rank among `count`, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes the files."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)

    def without_sync(self, network: nn.Module, wanted: bool):
        """A context without averaging of gradients, for all but the last part of a batch."""
        return network.no_sync() if wanted and self.count > 1 else nullcontext()

    def wait(self) -> None:
        """Block until every process has reached this call."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started (WORLD_SIZE, RANK, LOCAL_RANK); a single process without it.

    device: as `loading.choose_device` takes it; with CUDA every process takes the one of its local rank.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    target = choose_device(device)
    if count == 1:
        yield Processes(0, 1, target)
        return
    if target.type == "cuda":
        target = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(target)
    dist.init_process_group("nccl" if target.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, target)
    finally:
        dist.destroy_process_group()
