"""What the command line shows: a title when a stage begins, whatever the order of the stages."""

import io

from latentsync_core.cli.terminal import StageBars


def test_a_stage_is_named_once_and_its_pace_counts_from_where_it_began(monkeypatch):
    clock = iter(range(0, 1000, 10))  # seconds
    monkeypatch.setattr("latentsync_core.cli.terminal.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    bars = StageBars(stream)
    bars.on_progress("sample", 40, 100)  # an earlier run did these
    bars.on_progress("sample", 50, 100)
    bars.on_progress("write", 8, 16)
    bars.on_progress("sample", 50, 100)  # the next segment's turn: what lay between is not its time
    bars.on_progress("sample", 60, 100)
    assert [line for line in stream.getvalue().splitlines() if line.endswith("...")] == [
        "Denoising ...",
        "Pasting and writing ...",
    ]
    assert bars.clocks["sample"].left == 20 / 20 * 40


def test_the_shares_of_stages_that_overlap_add_up(monkeypatch):
    clock = iter(range(0, 1000, 10))  # seconds
    monkeypatch.setattr("latentsync_core.cli.terminal.time.monotonic", lambda: next(clock))
    bars = StageBars(io.StringIO())
    for stage, done in (("sample", 0), ("write", 0), ("sample", 1), ("write", 1), ("sample", 2), ("write", 2)):
        bars.on_progress(stage, done, 4)
    assert bars.clocks["sample"].seconds + bars.clocks["write"].seconds == 40  # since both are under way
    assert bars.clocks["sample"].left + bars.clocks["write"].left == 40  # two of four are done
