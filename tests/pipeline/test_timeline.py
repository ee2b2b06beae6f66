"""Every output frame shows the right source frame at the right instant, whatever the rates and lengths."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.errors import LatentSyncError
from latentsync_core.pipeline.timeline import plan_timeline

RATES = [Fraction(16), Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30)]
RATES += [Fraction(50), Fraction(60)]


def grid(frames: int, fps: Fraction) -> list[Fraction]:
    return [i / fps for i in range(frames)]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(("length", "seconds"), [("audio", 9.6), ("video", 10), ("shortest", 9.6)])
def test_frame_count_is_rounded_seconds_times_rate(fps, length, seconds):
    frames = round(10 * fps)
    timeline = plan_timeline(grid(frames, fps), fps, Fraction("9.6"), length=length)
    expected = frames if length == "video" else round(Fraction(str(seconds)) * fps)
    assert len(timeline) == expected
    assert timeline.source == tuple(range(expected))
    assert timeline.fps == fps and timeline.times[-1] == (expected - 1) / fps
    assert timeline.seconds == expected / fps


@pytest.mark.parametrize(
    ("extend", "source"),
    [
        ("pingpong", (0, 1, 2, 2, 1, 0, 0, 1)),
        ("loop", (0, 1, 2, 0, 1, 2, 0, 1)),
        ("hold", (0, 1, 2, 2, 2, 2, 2, 2)),
        ("none", (0, 1, 2)),
    ],
)
def test_a_longer_voice_extends_the_picture(extend, source):
    timeline = plan_timeline(grid(3, Fraction(10)), Fraction(10), Fraction("0.8"), extend=extend)
    assert timeline.source == source


def test_shots_begin_at_restarts_and_cuts_in_both_directions():
    looped = plan_timeline(grid(4, Fraction(10)), Fraction(10), Fraction(1), extend="loop")
    assert looped.breaks(()) == {4, 8}
    back_and_forth = plan_timeline(grid(4, Fraction(10)), Fraction(10), Fraction(1), extend="pingpong")
    assert back_and_forth.source == (0, 1, 2, 3, 3, 2, 1, 0, 0, 1)
    assert back_and_forth.breaks(()) == frozenset()
    assert back_and_forth.breaks({2}) == {2, 6}


def test_another_rate_picks_the_frame_on_screen():
    timeline = plan_timeline(grid(60, Fraction(60)), Fraction(60), Fraction(1), rate=Fraction(25))
    assert len(timeline) == 25 and timeline.fps == 25
    assert timeline.source[:6] == (0, 2, 4, 7, 9, 12)


def test_resampling_to_the_same_rate_changes_nothing():
    times = grid(30, Fraction(25))
    for extend in ("pingpong", "loop", "hold"):
        plain = plan_timeline(times, Fraction(25), Fraction(3), extend=extend)
        resampled = plan_timeline(times, Fraction(25), Fraction(3), extend=extend, rate=Fraction(25))
        assert plain.source == resampled.source and plain.times == resampled.times


def test_variable_rate_keeps_every_frame_at_its_own_time():
    times = [Fraction(0), Fraction("0.1"), Fraction("0.15"), Fraction("0.4")]
    timeline = plan_timeline(times, Fraction(10), Fraction("0.5"), variable=True)
    assert timeline.variable and timeline.source == (0, 1, 2, 3) and list(timeline.times) == times
    assert timeline.seconds == Fraction("0.5")
    longer = plan_timeline(times, Fraction(10), Fraction("0.8"), variable=True)
    assert longer.source == (0, 1, 2, 3, 3, 2)
    assert longer.times[4:] == (Fraction("0.5"), Fraction("0.6"))


def test_too_short_a_voice_is_refused():
    with pytest.raises(LatentSyncError, match="0.010 s"):
        plan_timeline(grid(5, Fraction(25)), Fraction(25), Fraction("0.01"))


@pytest.mark.parametrize("wrong", [{"length": "longest"}, {"extend": "bounce"}])
def test_unknown_policies_are_named(wrong):
    with pytest.raises(LatentSyncError, match=next(iter(wrong.values()))):
        plan_timeline(grid(5, Fraction(25)), Fraction(25), Fraction(1), **wrong)


@given(
    frames=st.integers(1, 80),
    fps=st.sampled_from(RATES),
    voice=st.fractions(Fraction(1, 2), 6, max_denominator=1000),
    length=st.sampled_from(["audio", "video", "shortest"]),
    extend=st.sampled_from(["pingpong", "loop", "hold", "none"]),
    rate=st.sampled_from([None, Fraction(25)]),
    jitter=st.lists(st.fractions(Fraction(1, 5), 3, max_denominator=20), max_size=80),
    cuts=st.sets(st.integers(1, 79)),
)
def test_any_timeline_is_sound(frames, fps, voice, length, extend, rate, jitter, cuts):
    """Counts, order and neighbours hold for any length, rate, cut and jitter of the frame times."""
    times = grid(frames, fps)
    for index, factor in enumerate(jitter[: frames - 1]):
        times[index + 1] = times[index] + factor / fps
    times = sorted(times)
    if len(set(times)) < frames:
        return
    variable = bool(jitter)
    try:
        timeline = plan_timeline(times, fps, voice, length=length, extend=extend, rate=rate, variable=variable)
    except LatentSyncError:
        assert min(voice, times[-1] + 1 / fps) * (rate or fps) <= Fraction(1, 2)
        return
    assert len(timeline.source) == len(timeline.times) > 0
    assert all(0 <= source < frames for source in timeline.source)
    assert all(a < b for a, b in zip(timeline.times, timeline.times[1:], strict=False))
    assert timeline.times[0] == 0 and timeline.times[-1] < timeline.seconds
    if not timeline.variable:
        video = times[-1] + 1 / fps
        asked = {"audio": voice, "video": video, "shortest": min(voice, video)}[length]
        asked = min(asked, video) if extend == "none" and length != "video" else asked
        assert len(timeline) == round(asked * timeline.fps)
    seams = timeline.breaks(cuts)
    for frame in range(1, len(timeline)):
        low, high = sorted(timeline.source[frame - 1 : frame + 1])
        crosses = any(low < cut <= high for cut in cuts) or frame in timeline.restarts
        assert (frame in seams) == crosses
