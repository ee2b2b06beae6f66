"""Stages are passed in the order of arrival, by one thread each, and a turn that fails holds nobody up."""

import threading
import time

import pytest

from latentsync_core.cluster.turns import Turns

STAGES = ("first", "second")
THREADS = 6
GENEROUS = 60  # seconds until a thread counts as hung


@pytest.mark.parametrize("failing", [None, 0, 3, THREADS - 1])
def test_stages_overlap_and_keep_the_order(failing):
    turns, seen, inside = Turns(STAGES), [], dict.fromkeys(STAGES, 0)

    def work(turn: int) -> None:
        try:
            for stage in STAGES:
                with turns.at(stage, turn):
                    inside[stage] += 1
                    assert inside[stage] == 1
                    seen.append((stage, turn))
                    time.sleep(0.002 * (THREADS - turn))
                    inside[stage] -= 1
                    if turn == failing:
                        return
        finally:
            turns.leave(turn)

    given = [turns.take() for _ in range(THREADS)]
    threads = [threading.Thread(target=work, args=(turn,), daemon=True) for turn in reversed(given)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
        assert not thread.is_alive()
    assert [turn for stage, turn in seen if stage == "first"] == given
    assert [turn for stage, turn in seen if stage == "second"] == [turn for turn in given if turn != failing]
    if failing is None:
        assert seen.index(("first", 1)) < seen.index(("second", 1)) < seen.index(("second", THREADS - 1))
        assert seen.index(("first", 2)) < seen.index(("second", THREADS - 1)), "the stages overlap"


def test_a_turn_waits_until_all_before_it_are_through():
    turns = Turns(STAGES)
    early, late = turns.take(), turns.take()
    through = threading.Event()

    def wait() -> None:
        turns.wait_for_earlier("second", late)
        through.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not through.wait(0.05)
    turns.leave(early)
    assert through.wait(GENEROUS)
