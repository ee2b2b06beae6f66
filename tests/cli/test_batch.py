"""Many clips by one command: what fails stops nobody, and run again it does only what is missing."""

import csv
import json
import signal
import time
from pathlib import Path

import pytest
from preloaded import Program
from small_media import QUICK, cut_voice, grey_clip, posix

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP
from latentsync_core.generators.choice import GeneratorChoice

pytestmark = pytest.mark.long

SECONDS = 0.12  # of voice: 3 frames
GENEROUS = 200  # seconds until a program under test counts as hung, on a machine shared with others
OPTIONS = (*QUICK, "--no-score")


class Batch:
    """A job file and the folder of its results."""

    def __init__(self, folder: Path):
        self.folder, self.out, self.file = folder, folder / "out", folder / "jobs.jsonl"
        self.voice = cut_voice(folder / "voice.wav", SECONDS)

    def write(self, *jobs: dict) -> None:
        files = {"video": str(CLIP), "audio": str(self.voice)}
        self.file.write_text("".join(f"{json.dumps({**files, **job})}\n" for job in jobs))

    def arguments(self, *options) -> list[str]:
        return [str(word) for word in ("batch", self.file, "--out", self.out, *OPTIONS, *options)]

    def run(self, *options) -> int:
        return main(self.arguments(*options))

    def states(self) -> dict[str, str]:
        with open(self.out / "summary.csv", encoding="utf-8", newline="") as file:
            return {row["name"]: row["state"] for row in csv.DictReader(file)}

    def written(self) -> dict[str, tuple[int, int]]:
        """Inode and time of writing of every result."""
        return {path.stem: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.out.glob("*.mp4")}


@pytest.fixture
def batch(tmp_path) -> Batch:
    return Batch(tmp_path)


def test_one_that_fails_stops_nobody_and_only_what_is_missing_is_done_again(batch, capsys, monkeypatch):
    loaded, load = [], GeneratorChoice.load
    monkeypatch.setattr(GeneratorChoice, "load", lambda *args: loaded.append(args) or load(*args))
    faceless = grey_clip(batch.folder / "grey.mkv", frames=3)
    batch.write({"name": "first"}, {"name": "grey", "video": str(faceless)}, {"name": "last", "seed": 5})
    assert batch.run() == 1
    assert batch.states() == {"first": "done", "grey": "failed", "last": "done"}
    assert len(loaded) == 1, "one choice of models is loaded once"
    out, err = capsys.readouterr()
    assert "2 of 3 results stand, 3 jobs were run, 1 failed" in out and "grey: failed: " in err and "face" in err
    told = json.loads((batch.out / "first.json").read_text())
    assert told["output_frames"]["written"] == 3 and told["settings"]["seed"] == 1247

    alone = batch.folder / "alone.mp4"  # the second clip of a warm process is that of a process of its own
    last = ("--video", CLIP, "--audio", batch.voice, "--out", alone, "--seed", "5", *OPTIONS)
    assert main(["sync", *map(str, last)]) == 0
    assert alone.read_bytes() == (batch.out / "last.mp4").read_bytes()

    before = batch.written()
    batch.write({"name": "first"}, {"name": "grey"}, {"name": "last", "seed": 6})
    assert batch.run() == 0
    assert batch.states() == {"first": "already done", "grey": "done", "last": "done"}
    after = batch.written()
    assert after["first"] == before["first"] and after["last"] != before["last"]
    assert json.loads((batch.out / "last.json").read_text())["settings"]["seed"] == 6


@posix
def test_a_batch_that_is_stopped_goes_on_inside_the_clip(batch):
    cut_voice(batch.voice, 0.64)  # two segments
    batch.write({"name": "one"}, {"name": "two"})
    with Program(*batch.arguments("--window", "8"), segment_frames=8) as process:
        deadline = time.monotonic() + GENEROUS
        while not list(batch.out.glob("one.mp4.parts/segment-*.nut")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert process.ended(GENEROUS)[0] == 130
    assert batch.states() == {"one": "waiting", "two": "waiting"} and not batch.written()
    batch.write({"name": "one"})
    with Program(*batch.arguments("--window", "8"), segment_frames=8) as process:
        assert process.ended(GENEROUS)[0] == 0
    assert batch.states() == {"one": "done"}
    assert json.loads((batch.out / "one.json").read_text())["segments"] == {"total": 2, "computed": 1, "reused": 1}


def test_a_plan_measures_and_leaves_nothing(batch, capsys):
    batch.write({"name": "one"}, {"name": "two", "seed": 5})
    assert batch.run("--plan", "--parallel", "2") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "2 clips to make, 6 frames, 0 s of video"
    assert told[1].startswith("Measured on cpu: ") and "sample" in told[1]
    assert told[2].split() == ["workers", "hours", "GPU", "hours"] and told[3].split()[0] == "2"
    assert told[3].endswith("0.00"), "no card is used here"
    assert not batch.out.exists()


def test_options_of_a_cluster_need_one(batch, capsys):
    batch.write({"name": "one"})
    assert batch.run("--parallel", "2") == 2
    assert "--parallel is for a cluster; add --cluster" in capsys.readouterr().err


def test_overwriting_starts_anew_what_could_be_gone_on_with(batch):
    batch.write({"name": "one"})
    assert batch.run() == 0
    told = json.loads((batch.out / "one.json").read_text())
    (batch.out / "one.json").write_text(json.dumps({"job": told["job"]}))  # as if it had been interrupted
    before = batch.written()
    (batch.out / "one.mp4.parts").mkdir()
    (batch.out / "one.mp4.parts" / "run.json").write_text("{")  # what nobody could go on with
    assert batch.run() == 1 and batch.states() == {"one": "failed"} and batch.written() == before
    assert batch.run("--overwrite") == 0 and batch.states() == {"one": "done"} and batch.written() != before
