"""Windows and segments over any clip: every face is covered, no cut or gap is crossed, no frame is left out."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.diffusion import plan_windows
from latentsync_core.generators.segments import SEGMENT_FRAMES, plan_segments
from latentsync_core.pipeline.timeline import plan_timeline

RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 150)), min_size=1, max_size=8)  # (a face, frames of it)


def interval_of(present, breaks):
    """For every frame the number of its interval (one shot, a face throughout), None without a face."""
    numbers, number = [], 0
    for frame, face in enumerate(present):
        number += frame in breaks or (frame > 0 and present[frame - 1] != face)
        numbers.append(number if face else None)
    return numbers


@given(
    runs=RUNS,
    cuts=st.sets(st.integers(1, 400), max_size=6),
    window=st.integers(1, 24),
    share=st.floats(0, 0.5),
    extend=st.sampled_from(["pingpong", "loop", "hold", "none"]),
    rate=st.sampled_from([None, Fraction(25), Fraction(50)]),
    voice=st.fractions(Fraction(1, 5), 20, max_denominator=100),
)
def test_any_clip_is_divided_into_valid_windows_and_segments(runs, cuts, window, share, extend, rate, voice):
    """Random length, rate, gaps and cuts: from source frames over the timeline to windows and segments."""
    faces = [face for face, frames in runs for _ in range(frames)]
    fps, overlap = Fraction(24), int(share * window)
    timeline = plan_timeline([i / fps for i in range(len(faces))], fps, voice, extend=extend, rate=rate)
    present = [faces[source] for source in timeline.source]
    breaks = timeline.breaks(cuts)
    windows = plan_windows(present, breaks, window, overlap)

    covered = [frame for span in windows for frame in range(span.start, span.stop)]
    assert set(covered) == {frame for frame, face in enumerate(present) if face}
    assert len(covered) == len(set(covered)) or overlap > 0
    assert all(1 <= len(span) <= window for span in windows)
    assert all(a.start < b.start and a.stop < b.stop for a, b in zip(windows, windows[1:], strict=False))
    intervals = interval_of(present, breaks)
    assert all(len({intervals[frame] for frame in range(span.start, span.stop)}) == 1 for span in windows)

    segments = plan_segments(len(timeline), windows)
    assert [segment.start for segment in segments] == [0, *(segment.stop for segment in segments[:-1])]
    assert segments[-1].stop == len(timeline)
    assert list(dict.fromkeys(span for segment in segments for span in segment.windows)) == list(windows)
    for segment in segments:
        assert all(span.start < segment.stop and span.stop > segment.start for span in segment.windows)
        assert len(segment) <= 3 * SEGMENT_FRAMES
