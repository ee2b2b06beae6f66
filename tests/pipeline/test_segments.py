"""Segments cover a clip once, cut no window, and leave the noise of a seed where it was."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from latentsync_core.diffusion import Window, plan_windows, shared_noise
from latentsync_core.generators.latent_cache import ClipNoise
from latentsync_core.generators.segments import SEGMENT_FRAMES, plan_segments


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=700),
    window=st.integers(1, 24),
    overlapping=st.booleans(),
)
def test_every_frame_and_window_lies_in_one_segment(present, window, overlapping):
    windows = plan_windows(present, window=window, overlap=window // 2 if overlapping else 0)
    segments = plan_segments(len(present), windows)
    assert [part.start for part in segments] == [0, *(part.stop for part in segments[:-1])]
    assert segments[-1].stop == len(present)
    assert tuple(dict.fromkeys(span for part in segments for span in part.windows)) == windows
    seen, synced = 0, []
    for number, part in enumerate(segments):
        assert part.index == number and part.first_window == seen
        seen += sum(len(group.windows) for group in part.groups)
        assert part.reach.start <= part.start < part.stop <= part.reach.stop
        assert part.reach.start >= 0 and part.reach.stop <= len(present)
        assert all(0 <= span.start < span.stop <= len(part) for span in part.synced)
        synced += [part.start + frame for span in part.synced for frame in range(span.start, span.stop)]
    assert synced == [frame for frame, face in enumerate(present) if face]
    assert all(part.all_windows == seen for part in segments)
    assert overlapping or all(part.reach == part.frames for part in segments)


def test_a_long_shot_is_cut_every_128_frames_and_a_short_rest_joins_the_last():
    assert SEGMENT_FRAMES == 128
    windows = plan_windows([True] * 300)
    assert [len(part) for part in plan_segments(300, windows)] == [128, 172]
    assert [len(part) for part in plan_segments(330, plan_windows([True] * 330))] == [128, 128, 74]
    assert [len(part) for part in plan_segments(15_000, plan_windows([True] * 15_000))][:-1] == [128] * 116


def test_a_segment_is_longer_where_windows_hang_together():
    chain = [Window(start, start + 16) for start in range(0, 200, 8)]  # each overlaps the next: two groups of 104
    segments = plan_segments(208 + 128, chain)
    assert [len(part) for part in segments] == [208, 128]
    assert [(group.start, group.stop) for group in segments[0].groups] == [(0, 100), (100, 208)]


def test_segments_that_share_windows_denoise_them_both():
    windows = plan_windows([True] * 250, overlap=4)
    before, after = plan_segments(250, windows)
    assert before.stop == after.start and abs(before.stop - 125) < 8
    shared = [span for span in before.windows if span in after.windows]
    assert len(shared) == 2 and shared[0].stop - shared[1].start >= 4
    assert shared[1].start < before.stop < shared[0].stop
    assert (before.reach, after.reach) == (slice(0, shared[1].stop), slice(shared[0].start, 250))


def test_noise_of_any_batch_is_that_of_one_generator_in_the_references_order():
    batches = [[0, 1, 2], [3], [4, 5]]
    generator = torch.Generator().manual_seed(7)
    start = shared_noise(4, generator)
    expected = [[torch.randn(len(batch), 4, 4, 4, generator=generator) for _ in range(2)] for batch in batches]
    for order in ([0, 1, 2], [2], [1, 2, 1], [2, 1]):
        noise = ClipNoise(7, 4, batches, again={1})
        assert torch.equal(noise.start, start)
        for number in order:
            source = noise.before(number)
            for part in expected[number]:
                assert torch.equal(torch.randn(len(batches[number]), 4, 4, 4, generator=source), part)
