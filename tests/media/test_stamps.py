"""Packets whose time stamps are set back, slip or wrap get stamps on one continuous clock, each its own."""

import random
from fractions import Fraction

import av
import pytest

from latentsync_core.media.read.stamps import StampClock

TICKS = 90_000  # per second
STEP = 3600


def packet_of(pts, dts, is_keyframe=False, time_base=Fraction(1, TICKS)):
    packet = av.Packet(b"picture")
    packet.pts, packet.dts, packet.time_base, packet.is_keyframe = pts, dts, time_base, is_keyframe
    return packet


def recording(start, count, reorder):
    """(pts, dts, is_keyframe) of a recording in the order stored; reorder: B-frames between two others."""
    shown = [0]
    while len(shown) < count:
        block = range(len(shown), min(count, len(shown) + reorder + 1))
        shown += [block[-1], *block[:-1]]
    lag = min(reorder, 1)
    return [(start + STEP * at, start + STEP * (n - lag), n == 0) for n, at in enumerate(shown)]


def run_on(packets, formats=frozenset({"mpegts"}), reorder=True, sound=()):
    clock = StampClock(Fraction(1, TICKS), Fraction(STEP), set(formats), reorder)
    for block in sound:
        clock.note_sound(block)
    mended = [settled for packet in packets for settled in clock.push(packet)]
    mended += clock.push(packet_of(None, None))
    assert mended.pop().pts is None
    return clock, [packet.pts for packet in mended]


@pytest.mark.parametrize("formats", [{"mpegts"}, {"matroska", "webm"}])
@pytest.mark.parametrize("seed", range(25))
def test_recordings_joined_anyhow_follow_one_another(seed, formats):
    """Set back, set ahead, or wrapped: as many stamps as packets, none twice, all of them a step apart."""
    rng, packets, shown = random.Random(seed), [], 0
    for _ in range(rng.randrange(2, 6)):
        start = rng.choice([126_000, 2**33 - 40 * STEP, 500 * TICKS * rng.randrange(1, 90)])
        count, reorder = rng.randrange(12, 40), rng.randrange(4)
        dts_known = "mpegts" in formats
        packets += [packet_of(p, d if dts_known else None, k) for p, d, k in recording(start, count, reorder)]
        shown += count
    first = min(packet.pts for packet in packets[:12])
    clock, stamps = run_on(packets, formats)
    assert sorted(stamps) == [first + STEP * number for number in range(shown)]
    assert len(clock.runs) <= 5


@pytest.mark.parametrize("wild", [0, 5 * TICKS, 3000 * TICKS])
def test_one_wild_stamp_is_no_jump(wild):
    packets = [packet_of(p, d, k) for p, d, k in recording(10 * TICKS, 40, 0)]
    packets[20].pts = packets[20].dts = wild
    clock, stamps = run_on(packets, reorder=False)
    whole = [10 * TICKS + STEP * number for number in range(40)]
    assert clock.runs == [] and stamps[:20] == whole[:20] and stamps[21:] == whole[21:]
    assert stamps[20] <= whole[20]  # a place by its neighbours is found in the order of pictures


def test_an_equal_stamp_is_no_jump():
    packets = [packet_of(n * STEP, n * STEP) for n in (0, 1, 2, 3, 3, 4, 5, 6)]
    clock, stamps = run_on(packets, reorder=False)
    assert clock.runs == [] and stamps == [n * STEP for n in (0, 1, 2, 3, 3, 4, 5, 6)]


def test_a_long_still_picture_keeps_its_time_where_the_sound_runs_on():
    packets = [packet_of(n * STEP, n * STEP) for n in range(10)]
    packets += [packet_of(3000 * STEP + n * STEP, 3000 * STEP + n * STEP) for n in range(10)]
    sound = [packet_of(second * TICKS // 2, second * TICKS // 2) for second in range(240)]

    assert run_on(packets, reorder=False)[0].runs
    with av.open("/dev/null", "w", format="mpegts") as container:
        track = container.add_stream("aac", rate=48000)
        for block in sound:
            block.stream = track
        clock, stamps = run_on(packets, reorder=False, sound=sound)
    assert clock.runs == [] and stamps == [packet.pts for packet in packets]


def test_b_frames_stored_across_a_discontinuity_keep_their_sides():
    old, new = recording(0, 14, 2), recording(7200 * TICKS, 14, 2)
    packets = [packet_of(*one) for one in [*old[:-1], new[0], old[-1], *new[1:]]]
    _, stamps = run_on(packets)
    assert sorted(stamps) == [STEP * number for number in range(28)]


def test_b_frames_stored_across_a_long_still_picture_are_no_jump():
    old, new = recording(0, 14, 2), recording(120 * TICKS, 14, 2)
    packets = [packet_of(p, None, k and n == 0) for n, (p, _, k) in enumerate([*old[:-1], new[1], old[-1], new[0]])]
    packets += [packet_of(p, None) for p, _, _ in new[2:]]
    with av.open("/dev/null", "w", format="mpegts") as container:
        track = container.add_stream("aac", rate=48000)
        sound = [packet_of(second * TICKS // 2, second * TICKS // 2) for second in range(240)]
        for block in sound:
            block.stream = track
        clock, stamps = run_on(packets, {"matroska"}, sound=sound)
    assert clock.runs == [] and stamps == [packet.pts for packet in packets]
