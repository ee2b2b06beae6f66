"""One clip on a real cluster ends in the bytes of one machine, whatever happens to its workers on the way."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sleeping_generator import FULL_BYTES, SleepingChoice, limit_files
from tiny_musetalk import write_musetalk

from latentsync_core.cluster.placement import Needs
from latentsync_core.cluster.segments_on_ray import SegmentsOnRay
from latentsync_core.errors import LatentSyncError
from latentsync_core.generators.choice import GeneratorChoice
from latentsync_core.options import EncodeSettings, Guidance
from latentsync_core.pipeline.generate import generate
from latentsync_core.pipeline.lipsync import ClipFiles, sync_clip
from latentsync_core.pipeline.resume.run_folder import folder_beside
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long

SETTINGS = Settings(steps=1, guidance=Guidance(1.0), window=2, encode=EncodeSettings(preset="ultrafast"))
SEGMENTS = 6
TWO = Needs(address="auto", workers=2)
GENEROUS = 200  # seconds until a program under test counts as hung, on a machine shared with others


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr("latentsync_core.generators.segments.SEGMENT_FRAMES", 2)


@pytest.fixture
def choice(tmp_path) -> SleepingChoice:
    return SleepingChoice(tmp_path, seconds=0.3)


@pytest.fixture(scope="module")
def here(media, tmp_path_factory) -> Path:
    """The clip as one machine makes it."""
    out = tmp_path_factory.mktemp("here") / "out.mp4"
    generator = SleepingChoice(out.parent).load(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latentsync_core.generators.segments.SEGMENT_FRAMES", 2)
        sync_clip(ClipFiles(*media, out), generator, SETTINGS, Callbacks(), generate)
    return out


def on_cluster(media, out: Path, choice, settings: Settings = SETTINGS, needs: Needs = TWO, **callbacks):
    files, generator = ClipFiles(*media, out), choice.load(settings)
    return sync_clip(files, generator, settings, Callbacks(**callbacks), SegmentsOnRay(needs, choice))


def finished(out: Path) -> set[int]:
    return {int(path.stem.split("-")[1]) - 1 for path in folder_beside(out).glob("segment-*.nut")}


def test_the_embedded_model_gives_the_bytes_and_the_report_of_one_machine(machines, media, tmp_path):
    machines(2)
    choice = GeneratorChoice(checkpoint="embedded", device="cpu")
    spread, alone = tmp_path / "spread.mp4", tmp_path / "alone.mp4"
    one = on_cluster(media, spread, choice)
    other = sync_clip(ClipFiles(*media, alone), choice.load(SETTINGS), SETTINGS, Callbacks(), generate)
    assert spread.read_bytes() == alone.read_bytes()
    assert one.segments == {"total": SEGMENTS, "computed": SEGMENTS, "reused": 0}
    for same in ("output_frames", "output_times", "source_frames", "settings", "models", "voice", "warnings"):
        assert getattr(one, same) == getattr(other, same), same
    assert set(one.stages) == set(other.stages) and set(one.memory) == set(other.memory)
    assert not folder_beside(spread).exists()


def test_workers_on_cards_have_two_segments_each_in_hand(machines, media, here, tmp_path):
    """The cards are Ray's bookkeeping alone: the generator sleeps."""
    machines(2, cards=1)
    choice = SleepingChoice(tmp_path, seconds=0.3, device="auto")
    on_cluster(media, tmp_path / "out.mp4", choice, needs=Needs(address="auto"))
    assert (tmp_path / "out.mp4").read_bytes() == here.read_bytes()
    assert sorted(choice.made()) == list(range(SEGMENTS))


def test_musetalk_gives_the_bytes_of_one_machine_too(machines, media, tmp_path):
    machines(1)
    checkpoint = write_musetalk(tmp_path / "musetalk_1.5.safetensors")
    choice = GeneratorChoice("musetalk", checkpoint, directory=tmp_path, device="cpu")
    spread, alone, settings = tmp_path / "spread.mp4", tmp_path / "alone.mp4", Settings(encode=SETTINGS.encode)
    on_cluster(media, spread, choice, settings, needs=Needs(address="auto", workers=1))
    sync_clip(ClipFiles(*media, alone), choice.load(settings), settings, Callbacks(), generate)
    assert spread.read_bytes() == alone.read_bytes()


def test_a_worker_that_is_killed_in_sampling_loses_nothing(machines, media, here, tmp_path, choice):
    machines(2)
    choice.fault(2, "kill")
    told = on_cluster(media, tmp_path / "out.mp4", choice)
    assert (tmp_path / "out.mp4").read_bytes() == here.read_bytes()
    assert told.segments["computed"] == SEGMENTS and sorted(choice.made()) == list(range(SEGMENTS))
    assert any("A worker was lost" in warning for warning in told.warnings)


def test_a_machine_that_leaves_has_its_segment_made_by_another(cluster, machines, media, here, tmp_path, choice):
    joined = machines(2)

    def leave(stage: str, done: int, total: int) -> None:
        if stage == "write" and done and joined[1] in cluster.worker_nodes:
            cluster.remove_node(joined[1])

    on_cluster(media, tmp_path / "out.mp4", choice, on_progress=leave)
    assert joined[1] not in cluster.worker_nodes
    assert (tmp_path / "out.mp4").read_bytes() == here.read_bytes()


def test_a_segment_that_kills_every_worker_ends_the_run_and_keeps_the_others(machines, media, here, tmp_path, choice):
    machines(2)
    out = tmp_path / "out.mp4"
    choice.fault(SEGMENTS - 1, "poison")
    with pytest.raises(LatentSyncError, match=r"frames 10 to 11: 3 workers in turn ended without a word"):
        on_cluster(media, out, choice)
    assert finished(out) == set(range(SEGMENTS - 1)) and not out.exists()
    (tmp_path / f"fault-{SEGMENTS - 1}").unlink()
    told = on_cluster(media, out, choice, replace(SETTINGS, resume=True))
    assert told.segments == {"total": SEGMENTS, "computed": 1, "reused": SEGMENTS - 1}
    assert out.read_bytes() == here.read_bytes()
    assert sorted(choice.made()) == list(range(SEGMENTS)), "nothing was made twice"


def test_a_full_disk_keeps_what_is_finished(machines, media, here, tmp_path, choice):
    """First a worker's, in writing a part, then the driver's, in keeping one."""
    machines(2)
    out = tmp_path / "out.mp4"
    choice.fault(2, "disk")
    with pytest.raises(LatentSyncError, match="the disk is full or the file grew too large"):
        on_cluster(media, out, choice)
    kept = finished(out)
    assert kept and 2 not in kept

    def fill_up(stage: str, done: int, total: int) -> None:
        if len(finished(out)) > len(kept):
            limit_files(FULL_BYTES)

    resumed = replace(SETTINGS, resume=True)
    try:
        with pytest.raises(LatentSyncError, match=f"{out.name}.* could not be written .the disk is full"):
            on_cluster(media, out, choice, resumed, on_progress=fill_up)
    finally:
        limit_files(None)
    assert finished(out) > kept and not out.exists()
    more = len(finished(out))
    told = on_cluster(media, out, choice, resumed)
    assert told.segments["reused"] == more and out.read_bytes() == here.read_bytes()


DRIVER = """
import sys, logging
from pathlib import Path
import ray
from sleeping_generator import FULL_BYTES, SleepingChoice, limit_files
from tiny_musetalk import write_musetalk
import latentsync_core.generators.segments
from latentsync_core.cluster.placement import Needs
from latentsync_core.cluster.segments_on_ray import SegmentsOnRay
from latentsync_core.pipeline.lipsync import ClipFiles, sync_clip
from latentsync_core.options import EncodeSettings, Guidance
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

latentsync_core.generators.segments.SEGMENT_FRAMES = 2
address, video, audio, out, seconds = sys.argv[1:]
settings = Settings(steps=1, guidance=Guidance(1.0), window=2, encode=EncodeSettings(preset="ultrafast"))
choice = SleepingChoice(Path(out).parent, seconds=float(seconds))
sync_clip(ClipFiles(video, audio, out), choice.load(settings), settings, Callbacks(),
          SegmentsOnRay(Needs(address=address, workers=2), choice))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_ends_is_started_again_and_goes_on(cluster, machines, media, here, tmp_path, number):
    machines(2)
    out, choice = tmp_path / "out.mp4", SleepingChoice(tmp_path, seconds=1.0)
    command = [sys.executable, "-c", DRIVER, cluster.address, *map(str, media), str(out), str(choice.seconds)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        deadline = time.monotonic() + GENEROUS
        while not finished(out):
            assert driver.poll() is None and time.monotonic() < deadline, driver.stderr.read()
            time.sleep(0.01)
        os.kill(driver.pid, number)
        driver.wait(GENEROUS)
        driver.stderr.read()
    kept = finished(out)
    assert kept and len(kept) < SEGMENTS and not out.exists()
    told = on_cluster(media, out, choice, replace(SETTINGS, resume=True))
    assert told.segments == {"total": SEGMENTS, "computed": SEGMENTS - len(kept), "reused": len(kept)}
    assert out.read_bytes() == here.read_bytes()
    assert all(choice.made().count(index) == 1 for index in kept)
