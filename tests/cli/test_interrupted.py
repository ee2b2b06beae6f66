"""A run that is killed, stopped or out of disk: what it had finished stays, and --resume ends in the same bytes."""

import contextlib
import json
import signal
import time
from pathlib import Path

import pytest
from preloaded import Program
from small_media import QUICK, cut_voice, posix

from latentsync_core.demo import CLIP

pytestmark = [posix, pytest.mark.long]
SEGMENT_FRAMES = 8
GENEROUS = 200  # seconds until a program under test counts as hung, on a machine shared with others
SECONDS = 0.96  # of voice: 24 frames, three segments
SEGMENTS = 3


class Clip:
    """One sync command towards a folder of its own."""

    def __init__(self, folder: Path, name: str = "result.mp4"):
        self.folder = folder
        self.voice = cut_voice(folder / "voice.wav", SECONDS)
        self.out = folder / "out" / name
        self.out.parent.mkdir()
        self.parts = self.out.with_name(f"{name}.parts")
        self.report = folder / "report.json"

    def start(self, *options, **limits) -> Program:
        files = ("--video", CLIP, "--audio", self.voice, "--out", self.out, "--report", self.report)
        return Program("sync", *files, *QUICK, "--window", "8", *options, segment_frames=SEGMENT_FRAMES, **limits)

    def run(self, *options, **limits) -> tuple[int, str]:
        with self.start(*options, **limits) as process:
            return process.ended(GENEROUS)

    def finished(self) -> dict[str, tuple[int, int]]:
        """Inode and time of writing of every finished segment."""
        found = sorted(self.parts.glob("segment-*.nut"))
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.fixture
def clip(tmp_path) -> Clip:
    return Clip(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[bytes, int]:
    """What the command writes when nothing happens, and how large the largest file is that it keeps meanwhile.

    Two runs at once on one cache of Whisper features, of which neither disturbs the other.
    """
    clips = [Clip(tmp_path_factory.mktemp(name)) for name in ("one", "other")]
    cache, sizes = str(tmp_path_factory.mktemp("cache")), {0}
    processes = [clip.start("--cache", cache) for clip in clips]
    while processes[0].poll() is None:
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            sizes |= {path.stat().st_size for path in clips[0].parts.iterdir()}
        time.sleep(0.005)
    for clip, process in zip(clips, processes, strict=True):
        code, err = process.ended(GENEROUS)
        assert code == 0, err
        assert list(clip.out.parent.iterdir()) == [clip.out]
    assert clips[0].out.read_bytes() == clips[1].out.read_bytes()
    return clips[0].out.read_bytes(), max(sizes)


def kill_when(process: Program, reached) -> None:
    """kill -9 as soon as `reached()`."""
    deadline = time.monotonic() + GENEROUS
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.002)
    process.kill()
    process.wait(GENEROUS)


def said(process: Program, words: str) -> None:
    """Read on until the program has said `words`."""
    assert any(line.startswith(words) for line in process.stderr)


def test_a_run_killed_at_every_stage_ends_in_the_same_bytes(clip, undisturbed):
    with clip.start() as process:
        said(process, "Tracking")
        kill_when(process, lambda: True)
    assert not clip.out.exists() and clip.finished() == {}

    def pending() -> bool:
        return any(clip.parts.glob(".latentsync-*.nut"))

    with clip.start("--resume") as process:  # once a segment stands, while the next is encoded or denoised
        kill_when(process, lambda: len(clip.finished()) == 1 and not pending())
    first = clip.finished()
    assert len(first) == 1 and not clip.out.exists()
    with clip.start("--resume") as process:
        kill_when(process, lambda: len(clip.finished()) == 1 and pending())
    assert clip.finished() == first and not clip.out.exists()
    with clip.start("--resume") as process:
        kill_when(process, lambda: len(clip.finished()) == SEGMENTS and any(clip.out.parent.glob(".latentsync-*.mp4")))
    assert first.items() <= clip.finished().items() and not clip.out.exists()

    code, err = clip.run("--resume")
    assert code == 0, err
    assert clip.out.read_bytes() == undisturbed[0] and not clip.parts.exists()
    told = json.loads(clip.report.read_text())
    assert told["segments"] == {"total": SEGMENTS, "computed": 0, "reused": SEGMENTS}
    assert told["output_frames"]["written"] == told["output_frames"]["synced"] == 24


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(clip):
    with clip.start() as process:
        deadline = time.monotonic() + GENEROUS
        while not clip.finished() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        code, err = process.ended(GENEROUS)
    assert code == 130
    count = len(clip.finished())
    assert 1 <= count < SEGMENTS
    assert f"{count} of {SEGMENTS} segments are finished and kept in {clip.parts}" in err and "--resume" in err


def test_a_disk_that_fills_up_keeps_what_is_finished(clip, undisturbed):
    limit = undisturbed[1] + 1000  # the track and every segment fit, the whole does not
    assert limit < len(undisturbed[0])
    code, err = clip.run(file_bytes=limit)
    assert code == 2
    assert f"error: {clip.out}: the video could not be written (the disk is full" in err.splitlines()[-1]
    assert len(clip.finished()) == SEGMENTS and not list(clip.out.parent.glob(".latentsync-*"))
    assert clip.run("--resume")[0] == 0
    assert clip.out.read_bytes() == undisturbed[0]


def test_two_runs_on_one_output_do_not_mix(clip, undisturbed):
    with clip.start() as first:
        said(first, "Tracking")
        first.send_signal(signal.SIGSTOP)  # or it might be done before the other has started
        code, err = clip.run("--overwrite")
        first.send_signal(signal.SIGCONT)
        assert code == 2 and f"error: {clip.out}: another run (process {first.pid}) is writing this file" in err
        assert first.wait(GENEROUS) == 0
    assert clip.out.read_bytes() == undisturbed[0] and not clip.parts.exists()
