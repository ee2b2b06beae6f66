"""Sounds of 1 to 24 channels, packed and planar, named and not, go in and out; in a process that may die of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

WORKER = Path(__file__).with_name("channel_worker.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[int, list[str]]:
    """By number of channels, what each layout of so many came out as."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "faulthandler", str(WORKER), str(tmp_path_factory.mktemp("channels"))]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr[-3000:]}"
    found: dict[int, list[str]] = {}
    for line in ran.stdout.splitlines():
        case, _, written = line.partition(": ")
        found.setdefault(int(case.split()[0]), []).append(written)
    return found


def test_no_number_of_channels_ends_the_process(outcomes):
    assert list(outcomes) == list(range(1, 25))


def test_up_to_eight_channels_are_written_as_they_are(outcomes):
    for channels in range(1, 9):
        assert set(outcomes[channels]) == {f"pcm_f32le {channels}, aac {channels}"}


def test_more_are_kept_by_pcm_and_mixed_to_stereo_for_the_codecs_that_have_fewer(outcomes):
    for channels in range(9, 25):
        assert set(outcomes[channels]) == {f"pcm_f32le {channels}, aac 2, alac 2"}
