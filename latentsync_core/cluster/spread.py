"""Spread items of work over workers, one at a time each, and give a lost worker's item to another."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..errors import LatentSyncError
from ..progress import CheckCancelled
from .placement import Placement

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2  # between two looks at whether the run is cancelled
START_SECONDS = 120.0  # in which some worker must come up when there is none; models are loaded later
MOST_LOSSES = 3  # workers that may be lost over one item before it is given up


@dataclass(frozen=True)
class Lost:
    """In place of a result: an item over which so many workers were lost."""

    workers: int

    def __str__(self) -> str:
        return (
            f"{self.workers} workers in turn ended without a word while they were at it, as when memory runs out or a "
            "machine goes; give workers more memory, or look at Ray's logs"
        )


class Workers:
    """A pool of Ray actors of one class, with no more work under way than there are of them.

    ray: connected. kind: a class whose instances have a `ready` method. placement: how many, and what each reserves.
    arguments: of each instance.
    """

    def __init__(self, ray: ModuleType, kind: type, placement: Placement, *arguments: Any):
        self._ray, self._actor = ray, ray.remote(kind).options(**placement.options)
        self._count, self._arguments = placement.count, arguments
        self._starting: dict[Any, Any] = {}  # reference to what `ready` gives -> actor
        self._working: dict[Any, tuple[Any, Any]] = {}  # reference to a result -> actor, item
        self._idle: list[Any] = []
        self._losses: Counter[Hashable] = Counter()
        exceptions = ray.exceptions
        self._lost = (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.NodeDiedError)

    def spread(
        self, items: Sequence[Hashable], begin: Callable[[Any, Any], Any], check_cancelled: CheckCancelled
    ) -> Iterator[tuple[Any, Any]]:
        """(item, result, or `Lost`) of every item as they end; items are begun in their order.

        begin: (actor, item) -> the reference to its result. However the iteration ends, all workers are ended at once.
        What a worker raises is raised here. Raises LatentSyncError where no machine has room for a worker any more.
        """
        waiting = deque(items)
        try:
            for _ in range(min(self._count, len(waiting))):
                self._start()
            while waiting or self._working:
                while waiting and self._idle:
                    actor, item = self._idle.pop(), waiting.popleft()
                    self._working[begin(actor, item)] = actor, item
                check_cancelled()
                for item, result in self._ended():
                    if result is None:
                        waiting.appendleft(item)
                    else:
                        yield item, result
        finally:
            self._end_all()

    def _start(self) -> None:
        actor = self._actor.remote(*self._arguments)
        self._starting[actor.ready.remote()] = actor
        self._waited_since = time.monotonic()

    def _ended(self) -> Iterator[tuple[Any, Any]]:
        """(item, result) of what has ended by now or within a moment; result None for an item to be begun again."""
        references = [*self._starting, *self._working]
        done, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        if not done:
            done, _ = self._ray.wait(references, timeout=WAIT_SECONDS)
        if not done and not (self._working or self._idle) and time.monotonic() - self._waited_since > START_SECONDS:
            raise LatentSyncError("No machine of the cluster has room for a worker any more; see `ray status`.")
        for reference in done:
            if reference in self._starting:
                self._admit(reference)
                continue
            actor, item = self._working.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._lost as error:
                log.warning("A worker was lost while it was at %s (%s); another one goes on.", item, first_line(error))
                self._replace(actor)
                self._losses[item] += 1
                yield item, Lost(self._losses[item]) if self._losses[item] == MOST_LOSSES else None
            else:
                self._idle.append(actor)
                yield item, result

    def _admit(self, reference: Any) -> None:
        """Let a worker that has come up take work; one that was lost on the way is replaced."""
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._lost as error:
            log.warning("A worker was lost before it began (%s); another one is started.", first_line(error))
            self._replace(actor)
        else:
            self._idle.append(actor)

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # it may only be out of reach
        self._start()

    def _end_all(self) -> None:
        for actor in [*self._starting.values(), *(actor for actor, _ in self._working.values()), *self._idle]:
            self._ray.kill(actor)
        self._starting, self._working, self._idle = {}, {}, []


def first_line(error: BaseException) -> str:
    """What an error of Ray says in short."""
    return str(error).strip().splitlines()[0]
