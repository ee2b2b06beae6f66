"""The program as a process: a full disk, Ctrl-C, a kill, its help."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from preloaded import Program
from small_media import GENEROUS, PROGRAM, QUICK, ROOT, cut_voice, heed_ctrl_c, posix

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP


@pytest.mark.long
@posix
@pytest.mark.parametrize("limit", [4_000, 20_000])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, limit):
    voice = cut_voice(tmp_path / "voice.wav", 0.24)
    folder = tmp_path / "out"
    folder.mkdir()
    given = ("--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK)
    with Program("sync", *given, file_bytes=limit) as process:
        code, err = process.ended()
    assert code == 2, err
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {folder / 'result.mp4'}: the video could not be written (the disk is full")
    assert "Traceback" not in err and list(folder.iterdir()) == []


# Stopping


def started(folder: Path, voice: Path, *more: str) -> subprocess.Popen:
    """The program at work on a whole clip."""
    given = ("--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK, *more)
    options = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heed_ctrl_c}
    return subprocess.Popen([*PROGRAM, "sync", *given], **options)


@pytest.mark.long
@posix
def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with started(folder, cut_voice(tmp_path / "voice.wav", 0.6), "--steps", "500") as process:
        for line in process.stderr:
            if line.startswith("Denoising"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        rest = process.stderr.read()
        code = process.wait(GENEROUS)
        seconds = time.monotonic() - begun
    assert code == 130
    assert rest == "Stopped; no unfinished file is left behind.\n"
    assert seconds < 30  # about 1 on a quiet machine; to the end it would be minutes
    assert list(folder.iterdir()) == []


# The program around it


@pytest.mark.parametrize(
    "words", [[], ["sync"], ["demo"], ["doctor"], ["download"], ["bench"], ["bench", "faces"], ["bench", "memory"]]
)
def test_every_command_explains_itself(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: ") and "--help" in printed


def test_without_a_command_it_says_how_it_is_used():
    ended = subprocess.run(PROGRAM, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS)
    assert ended.returncode == 2 and ended.stderr.startswith("usage: ") and "sync" not in ended.stdout


def test_help_is_quick_because_nothing_heavy_is_imported():
    script = (
        "import sys, latentsync_core.__main__ as program\n"
        "program.build_parser().format_help()\n"
        "print(*({'torch', 'diffusers', 'whisper', 'numpy', 'av', 'scipy', 'PIL'} & set(sys.modules)))"
    )
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS)
    assert ended.stdout == "\n", ended.stdout + ended.stderr
    assert time.monotonic() - begun < 5  # 0.2 on a quiet machine; torch alone takes longer than this allows


def test_demo_says_what_it_cannot_write(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["demo", "--out", str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'taken'}: this folder cannot be made")
