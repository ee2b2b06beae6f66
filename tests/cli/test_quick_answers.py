"""A mistake, a help page and the first line of a run come before anything heavy is imported."""

import subprocess
import sys
import time

import pytest
from small_media import GENEROUS, PROGRAM, ROOT

from latentsync_core.demo import CLIP, VOICE

HEAVY = ("torch", "diffusers", "whisper", "scipy", "transformers", "safetensors", "matplotlib")
PROBE = (
    "import sys; from latentsync_core.__main__ import main\n"
    "try: code = main(sys.argv[1:])\n"
    "except SystemExit as ended: code = ended.code\n"
    f"print('heavy:', *({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
)
COMMANDS = (
    "sync",
    "batch",
    "people",
    "demo",
    "bench",
    "bench faces",
    "score",
    "compare",
    "train",
    "evaluate",
    "ablate",
    "doctor",
    "download",
)
STARTS = 40  # times an empty program's own start; torch alone takes some hundred


def probed(*arguments) -> subprocess.CompletedProcess:
    """The program's answer; the last line on stderr lists what heavy modules it has imported."""
    command = [sys.executable, "-c", PROBE, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS)


@pytest.fixture(scope="module")
def start_seconds() -> float:
    """How long an empty program takes here."""
    begun = time.monotonic()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.monotonic() - begun) / 3


def given(**changed) -> list:
    options = {"--video": CLIP, "--audio": VOICE, "--out": "out.mp4", "--checkpoint": "embedded"}
    options |= {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return ["sync", *(word for pair in options.items() for word in pair)]


MISTAKES = {
    "video": "there is no such file, a video file is needed",
    "audio": "there is no such file, a voice recording is needed",
    "checkpoint": "does not exist; a model file",
    "vae": "does not exist; a model file",
    "whisper": "does not exist; a model file",
    "lora": "does not exist; a model file",
}


@pytest.mark.parametrize("option", MISTAKES)
def test_a_wrong_path_is_answered_at_once(option, tmp_path, start_seconds):
    begun = time.monotonic()
    ended = probed(*given(out=tmp_path / "out.mp4", **{option: tmp_path / "absent.pt"}))
    seconds = time.monotonic() - begun
    answer, heavy = ended.stderr.splitlines()
    assert (
        ended.returncode == 2 and answer.startswith(f"error: {tmp_path / 'absent.pt'}") and MISTAKES[option] in answer
    )
    assert heavy == "heavy:" and seconds < max(STARTS * start_seconds, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_target_or_value_is_answered_at_once(tmp_path):
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"a film")
    for options, said in (
        ({"out": tmp_path / "none" / "out.mp4"}, "there is no folder"),
        ({"out": taken}, "this file exists already"),
        ({"out": tmp_path / "out.txt"}, "name it .mp4"),
        ({"out": tmp_path / "out.mp4", "report": tmp_path / "none" / "r.json"}, "cannot be written"),
        ({"out": tmp_path / "out.mp4", "steps": 0}, "0 steps"),
        ({"out": tmp_path / "out.mp4", "resolution": 100}, "multiple of 64"),
        ({"out": tmp_path / "out.mp4", "feather": 99}, "feather"),
        ({"out": tmp_path / "out.mp4", "seed": -1}, "seed"),
    ):
        ended = probed(*given(**options))
        answer, heavy = ended.stderr.splitlines()
        assert ended.returncode == 2 and answer.startswith("error: ") and said in answer and heavy == "heavy:", answer


def test_other_commands_answer_at_once_too(tmp_path):
    absent = tmp_path / "absent"
    for words in (
        ["batch", absent, "--out", tmp_path / "out"],
        ["people", absent],
        ["people", CLIP, "--threshold", "2"],
        ["compare", CLIP, absent, "--out", tmp_path / "out.mp4"],
        ["train", absent],
        ["ablate", "--train", absent, "--out", tmp_path],
        ["bench", "faces", "--video", absent],
        ["bench", "seams", "--checkpoint", absent],
        ["demo", "--out", tmp_path / "demo", "--vae", absent],
    ):
        ended = probed(*words)
        assert ended.returncode == 2 and "error: " in ended.stderr and ended.stderr.endswith("heavy:\n"), words


def test_help_and_version_are_quick(start_seconds):
    for words in (["--version"], ["--help"], *([*command.split(), "--help"] for command in COMMANDS)):
        begun = time.monotonic()
        ended = probed(*words)
        assert ended.returncode == 0 and ended.stdout and ended.stderr == "heavy:\n", words
        assert time.monotonic() - begun < max(STARTS * start_seconds, 2)


def test_a_right_call_says_at_once_what_it_does(tmp_path):
    out = tmp_path / "out.mp4"
    with subprocess.Popen(
        [*PROGRAM, *map(str, given(out=out))], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        begun = time.monotonic()
        first = process.stderr.readline()
        seconds = time.monotonic() - begun
        process.kill()
        process.stderr.close()
    assert str(CLIP) in first and str(VOICE) in first and str(out) in first and "loading" in first
    assert seconds < 3  # 0.4 on a quiet machine
