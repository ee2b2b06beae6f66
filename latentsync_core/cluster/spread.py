"""Spread items of work over workers, a few at a time each, and give a lost worker's items to another."""

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
    """A pool of Ray actors of one class, with no more work under way than they have hands.

    ray: connected. kind: a class whose instances have a `ready` method. placement: how many, and what each reserves.
    arguments: of each instance. hands: items that an instance works on at once; a second one goes only to a worker
    where no other is without work. threads: of each instance, so many of its methods may run at once.
    """

    def __init__(
        self, ray: ModuleType, kind: type, placement: Placement, *arguments: Any, hands: int = 1, threads: int = 1
    ):
        self._ray, self._hands = ray, hands
        self._actor = ray.remote(kind).options(**placement.options, max_concurrency=max(threads, hands))
        self._count, self._arguments = placement.count, arguments
        self._starting: dict[Any, Any] = {}  # reference to what `ready` gives -> actor
        self._working: dict[Any, tuple[Any, Any]] = {}  # reference to a result -> actor, item
        self._load: dict[Any, int] = {}  # actor that has come up -> hands that are full
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
                while waiting and (actor := self._free(waiting[0], len(waiting))) is not None:
                    item = waiting.popleft()
                    self._working[begin(actor, item)] = actor, item
                    self._load[actor] += self._weight(item)
                check_cancelled()
                for item, result in self._ended():
                    if result is None:
                        waiting.appendleft(item)
                    else:
                        yield item, result
        finally:
            self._end_all()

    def under_way(self) -> list[tuple[Any, Any]]:
        """(actor, item) of all that is worked on."""
        return list(self._working.values())

    def _weight(self, item: Hashable) -> int:
        """The hands that an item takes: all of them once a worker was lost over it, so that it takes no other along."""
        return self._hands if self._losses[item] else 1

    def _free(self, item: Hashable, waiting: int) -> Any | None:
        """The worker that is to have the next of so many waiting items, None where all are busy."""
        if not self._load:
            return None
        actor, others = min(self._load, key=self._load.__getitem__), len(self._starting)  # who soon want one each
        has_hands = self._load[actor] + self._weight(item) <= self._hands and waiting > others
        return actor if self._load[actor] == 0 or has_hands else None

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
        if not (done or self._load) and time.monotonic() - self._waited_since > START_SECONDS:
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
                if self._load.pop(actor, None) is not None:  # not yet replaced on account of another item
                    self._replace(actor)
                self._losses[item] += 1
                yield item, Lost(self._losses[item]) if self._losses[item] == MOST_LOSSES else None
            else:
                if actor in self._load:  # else it was lost since
                    self._load[actor] -= self._weight(item)
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
            self._load[actor] = 0

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # it may only be out of reach
        self._start()

    def _end_all(self) -> None:
        for actor in [*self._starting.values(), *self._load]:
            self._ray.kill(actor)
        self._starting, self._working, self._load = {}, {}, {}


def first_line(error: BaseException) -> str:
    """What an error of Ray says in short."""
    return str(error).strip().splitlines()[0]
