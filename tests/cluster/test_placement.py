"""How many workers a cluster holds by cards, cores and memory; what has no room is refused with what was found."""

import pytest

from latentsync_core.cluster.placement import GIB, Needs, place_workers
from latentsync_core.errors import LatentSyncError

CARDS = [{"CPU": 0}, {"CPU": 16, "GPU": 2, "memory": 64 * GIB}, {"CPU": 8, "GPU": 1, "memory": 16 * GIB}]
CORES = [{"CPU": 4, "memory": 8 * GIB}, {"CPU": 4, "memory": 8 * GIB}]


def placed(machines, device="auto", **needs):
    placement = place_workers(Needs("auto", **needs), machines, device)
    return placement.count, placement.options["num_cpus"], placement.options["num_gpus"]


def test_there_is_a_worker_for_every_card_and_for_every_share_of_one():
    assert placed(CARDS) == (3, 4, 1.0)
    assert placed(CARDS, gpus=0.5) == (6, 2, 0.5)
    assert placed(CARDS, workers=2) == (2, 8, 1.0)


def test_without_cards_there_is_a_worker_for_every_machine_with_all_its_cores():
    assert placed(CORES) == (2, 4, 0.0)
    assert placed(CORES, workers=4) == (4, 2, 0.0)
    assert placed(CARDS, device="cpu") == (2, 8, 0.0)


def test_memory_that_a_worker_needs_limits_how_many_there_are():
    assert placed(CARDS, memory=40)[0] == 1
    assert placed(CORES, workers=3, memory=3)[0] == 3
    assert place_workers(Needs("auto", memory=3), CORES, "cpu").options["memory"] == 3 * GIB


def test_what_has_no_room_is_refused():
    with pytest.raises(LatentSyncError, match="2 machines with 8 cores and 0 cards: room for 8 workers .* 9 asked for"):
        placed(CORES, workers=9)
    with pytest.raises(LatentSyncError, match="room for 0 workers with 1 cards each"):
        placed(CORES, device="cuda")
    with pytest.raises(LatentSyncError, match="room for 0 workers with 0 cards and 9 GiB"):
        placed(CORES, memory=9)


def test_shares_that_no_worker_can_have_are_refused():
    for wrong in ({"gpus": 1.5}, {"gpus": -1.0}, {"memory": 0.0}):
        with pytest.raises(LatentSyncError):
            Needs("auto", **wrong)
    assert Needs("auto", gpus=2.0).gpus == 2.0
