"""Pictures in the order a decoder gives them, each with a time stamp later than the one before.

Where nothing is damaged the decoder's order is right and the stamps have to follow it: AVI stores none, and files
remuxed from it have those that FFmpeg derives, out of order with B-frames; others have one stamp twice.
"""

import logging
import math
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av

log = logging.getLogger(__name__)

HELD_PICTURES = 16  # held back before a stamp counts as lost: no codec in use reorders by more


def warn_of_squeezed(path: Path, frame: int) -> None:
    """Warn that time stamps do not increase near a frame."""
    log.warning(
        "%s: frame %d, or one near it, is stamped no later than the one before; it is shown between its neighbours",
        path,
        frame,
    )


class OutputOrder:
    """Holds pictures back while an earlier stamp is still to come, then gives them stamps in rising order.

    step: ticks from one picture to the next at the track's rate. disordered: whether stamps have been seen to come in
    another order than the pictures. squeezed: pictures whose own stamp was no later than the one before.
    """

    def __init__(self, step: Fraction):
        self.disordered = False
        self.squeezed = 0
        self._step = step
        self._held: list[av.VideoFrame] = []
        self._last: Fraction | int | None = None  # stamp of the latest picture returned
        self._given_up: set[int] = set()

    def add(self, picture: av.VideoFrame) -> None:
        """Take the next picture that the decoder gives."""
        self._held.append(picture)

    def ready(self, expected: Collection[int], patient: bool) -> list[tuple[Fraction | int | None, av.VideoFrame]]:
        """(stamp, picture) of those that can be returned now; the stamp is None where the file states none.

        expected: stamps of packets whose pictures are still to come. patient: whether they are waited for at all.
        """
        if not self._held:
            return []
        if not patient or self._held[-1].pts is None:
            return self._release(len(self._held))
        waited = self._waited_for(expected)
        count = self._settled(waited)
        if len(self._held) > HELD_PICTURES and not count:
            if not waited:  # the time stamps do not increase
                return self._release(len(self._held))
            self._given_up.add(waited[0])
            count = self._settled(waited[1:])
        return self._release(count)

    def _waited_for(self, expected: Collection[int]) -> list[int]:
        """The stamps still to come that belong before a picture held here, rising."""
        stamps = [picture.pts for picture in self._held if picture.pts is not None]
        highest, shown = max(stamps), -math.inf if self._last is None else self._last
        between = {name for name in expected if shown < name < highest} - self._given_up
        # Second fields and pictures never meant to be shown lie closer than half a frame to a neighbour.
        return sorted(
            name
            for name in between
            if name - shown > self._step / 2 and all(abs(name - stamp) > self._step / 2 for stamp in stamps)
        )

    def _settled(self, waited: list[int]) -> int:
        """How many held pictures can be returned: those earlier than all that is still to come."""
        stamps = [picture.pts for picture in self._held if picture.pts is not None]
        if len(stamps) < len(self._held):
            return len(self._held)
        for count in range(len(stamps), 0, -1):
            top = max(stamps[:count])
            is_later = self._last is None or top > self._last
            if is_later and top < min(stamps[count:], default=math.inf) and (not waited or waited[0] > top):
                return count
        return 0

    def _release(self, count: int) -> list[tuple[Fraction | int | None, av.VideoFrame]]:
        """The first `count` held pictures, in the order they came, with their stamps in rising order."""
        pictures, self._held = self._held[:count], self._held[count:]
        own = [picture.pts for picture in pictures if picture.pts is not None]
        self.disordered |= own != sorted(own)
        stamps = iter(self._risen(sorted(own)))
        return [(None if picture.pts is None else next(stamps), picture) for picture in pictures]

    def _risen(self, stamps: list[int]) -> list[Fraction | int]:
        """Sorted `stamps` made to rise: those no later than the one before are spread between their neighbours."""
        risen: list[Fraction | int] = []
        place = 0
        while place < len(stamps):
            if self._last is not None and stamps[place] <= self._last:
                later = next((i for i in range(place, len(stamps)) if stamps[i] > self._last), len(stamps))
                parts = later - place + 1
                end = stamps[later] if later < len(stamps) else self._last + parts * self._step
                risen += [self._last + Fraction(end - self._last) * part / parts for part in range(1, parts)]
                self.squeezed += parts - 1
                place, self._last = later, risen[-1]
            else:
                risen.append(stamps[place])
                self._last = stamps[place]
                place += 1
        return risen
