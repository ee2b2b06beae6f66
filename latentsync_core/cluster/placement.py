"""How many workers a cluster holds, and what each reserves of its machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import LatentSyncError

GIB = 2**30  # bytes


@dataclass(frozen=True)
class Needs:
    """What a user says of workers.

    address: of the cluster, see `connection.connected`. workers: how many, None = as many as have room. gpus: share of
    a card for each; two at 0.5 let one denoise while the other reads, pastes and writes. memory: GiB of RAM for each,
    None = any. Raises LatentSyncError for what no worker can have.
    """

    address: str
    workers: int | None = None
    gpus: float = 1.0
    memory: float | None = None

    def __post_init__(self) -> None:
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise LatentSyncError(f"{self.gpus:g} cards are asked for a worker; give 0 to 1, or a whole number.")
        if self.memory is not None and not self.memory > 0:
            raise LatentSyncError(f"{self.memory:g} GiB are asked for a worker; give more than 0.")


@dataclass(frozen=True)
class Placement:
    """count: how many workers. options: of each, in the words of Ray's actors."""

    count: int
    options: dict[str, Any]


def place_workers(needs: Needs, machines: Sequence[Mapping[str, float]], device: str) -> Placement:
    """Workers for a cluster of `machines`, each with what Ray says it has: "CPU", "GPU", "memory" (bytes).

    device: as `--device`. On cards there are as many workers as their shares allow, elsewhere one for each machine;
    the processor's cores are divided among them. Raises LatentSyncError where not one, or not as many as were asked
    for, have room.
    """
    cards = sum(machine.get("GPU", 0) for machine in machines)
    gpus = 0.0 if device == "cpu" or (device == "auto" and not cards) else needs.gpus
    memory = int((needs.memory or 0) * GIB)
    fit = [room(machine, gpus, memory) for machine in machines]
    per_machine = [count if gpus or needs.workers else min(count, 1) for count in fit]
    count = sum(per_machine) if needs.workers is None else needs.workers
    if not count or count > sum(fit):
        asked = f"{gpus:g} cards" + (f" and {needs.memory:g} GiB" if needs.memory else "")
        raise LatentSyncError(
            f"The cluster has {len(machines)} machines with {sum(m.get('CPU', 0) for m in machines):g} cores and "
            f"{cards:g} cards: room for {sum(fit)} workers with {asked} each, {needs.workers or 'one'} asked for; "
            "ask for fewer, or let more machines join."
        )
    usable = [machine for machine, most in zip(machines, fit, strict=True) if most]
    fullest = -(-count // len(usable))  # workers on the fullest machine, if they are spread evenly
    cores = max(1, int(min(machine["CPU"] for machine in usable) // fullest))
    if sum(min(most, int(machine.get("CPU", 0) // cores)) for machine, most in zip(machines, fit, strict=True)) < count:
        cores = 1
    options = {"num_cpus": cores, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
    return Placement(count, {**options, "memory": memory} if memory else options)


def room(machine: Mapping[str, float], gpus: float, memory: int) -> int:
    """How many workers a machine holds, of at least a core each."""
    limits = [machine.get("CPU", 0)]
    if gpus:
        limits.append(machine.get("GPU", 0) / gpus)
    if memory:
        limits.append(machine.get("memory", 0) / memory)
    return int(min(limits))
