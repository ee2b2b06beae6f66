"""Without damage the decoder's order wins over time stamps, no picture is lost, and times rise."""

import random
from fractions import Fraction

import av
import pytest

from latentsync_core.media.read.output_order import HELD_PICTURES, OutputOrder

STEP = Fraction(40)


def pass_through(stamps, lost=(), lag=4, patient=True):
    """(stamp, number) of pictures 0, 1, 2, ... stamped `stamps`, from a decoder that holds `lag` packets."""
    order, expected, out = OutputOrder(STEP), [*sorted(stamps)[:lag], *lost], []
    for number, stamp in enumerate(stamps):
        expected += sorted(stamps)[number + lag : number + lag + 1]
        picture = av.VideoFrame(16, 16, "gray")
        picture.pts, picture.opaque = stamp, number
        order.add(picture)
        for given, ready in order.ready(expected, patient):
            expected.remove(ready.pts)
            out.append((given, ready.opaque))
    out += [(given, picture.opaque) for given, picture in order.ready(expected, False)]
    return order, out


def check(out, count):
    assert [number for _, number in out] == list(range(count))
    assert all(a < b for (a, _), (b, _) in zip(out, out[1:], strict=False))


@pytest.mark.parametrize("seed", range(40))
def test_every_picture_comes_once_in_the_decoders_order_at_rising_times(seed):
    rng = random.Random(seed)
    count = rng.randrange(20, 60)
    stamps = [40 * number for number in range(count)]
    for _ in range(rng.randrange(4)):  # a group of B-frames out of order
        at, width = rng.randrange(count - 4), rng.randrange(2, 5)
        stamps[at : at + width] = rng.sample(stamps[at : at + width], width)
    for _ in range(rng.randrange(3)):  # a stamp twice
        at = rng.randrange(1, count)
        stamps[at] = stamps[at - 1]
    _, out = pass_through(stamps, lag=rng.randrange(5, 9))
    check(out, count)


@pytest.mark.parametrize("pattern", [(1, 3, 4, 2, 6, 7, 5), (1, 4, 2, 3, 7, 5, 6), (1, 2, 5, 4, 3, 7, 6)])
def test_stamps_of_a_constant_rate_in_another_order_stay_constant(pattern):
    order, out = pass_through([40 * number for number in pattern])
    assert out == [(40 * (number + 1), number) for number in range(len(pattern))] and order.disordered


def test_one_equal_stamp_is_squeezed_in_and_later_ones_keep_theirs():
    order, out = pass_through([0, 40, 80, 80, 120, 160])
    assert [stamp for stamp, _ in out] == [0, 40, 80, 100, 120, 160] and order.squeezed == 1


def test_a_clock_that_stands_still_counts_on_at_the_rate():
    _, out = pass_through([0, 40, *[80] * 50, 2080, 2120])
    check(out, 54)
    assert all(abs(stamp - 40 * number) < 20 for stamp, number in out)


def test_a_stamp_that_never_comes_is_waited_for_by_so_many_pictures_and_no_more():
    order, expected, held = OutputOrder(STEP), [0, 40], 0
    for number in [0, *range(2, 60)]:
        expected.append(40 * number)
        picture = av.VideoFrame(16, 16, "gray")
        picture.pts = 40 * number
        order.add(picture)
        held += 1 - len(order.ready(expected, True))
        assert held <= HELD_PICTURES
    assert held == 0


def test_times_of_a_variable_rate_are_kept():
    stamps = [0, 33, 66, 500, 533, 900, 905, 2000]
    assert [stamp for stamp, _ in pass_through(stamps)[1]] == stamps
