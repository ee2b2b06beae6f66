"""``sync --generator musetalk``: a result, a report that says so, and one sentence for what it has not."""

import json
import re

import pytest
from small_media import cut_voice
from tiny_musetalk import write_musetalk

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP


@pytest.fixture
def run(tmp_path, capsys):
    """``run("--steps", 2)`` into tmp_path/out.mp4 with a small MuseTalk: (code, err)."""
    voice = cut_voice(tmp_path / "voice.wav", 0.24)
    checkpoint = write_musetalk(tmp_path / "musetalk_1.0.safetensors")

    def sync(*options) -> tuple[int, str]:
        files = ("--video", CLIP, "--audio", voice, "--out", tmp_path / "out.mp4", "--checkpoint", checkpoint)
        places = ("--models", tmp_path, "--device", "cpu", "--no-cache")
        code = main(["sync", *map(str, (*files, *places, *options))])
        return code, capsys.readouterr().err

    return sync


@pytest.mark.long
def test_a_run_is_told_in_its_report(run, tmp_path):
    report = tmp_path / "report.json"
    code, _ = run("--generator", "musetalk", "--bbox-shift", 5, "--report", report, "--no-score")
    told = json.loads(report.read_text())
    assert code == 0 and told["output_frames"]["synced"] == 6 and (tmp_path / "out.mp4").stat().st_size > 1000
    assert told["settings"]["bbox_shift"] == 5 and told["models"]["release"] == "1.0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--generator", "musetalk", "--steps", 30), "generator musetalk has no steps, yet a value was given"),
        (("--generator", "musetalk", "--preset", "balanced"), "generator musetalk has no null interval, reuse, steps"),
        (("--generator", "musetalk", "--overlap", 4), "generator musetalk has no overlap"),
        (("--bbox-shift", 3), "generator latentsync has no bbox shift"),
        (("--bbox-shift", 99), "bbox shift of 99 pixels was asked for; -30 to 30"),
        ((), "is a MuseTalk UNet .8 input channels.; a LatentSync UNet is needed.* --generator musetalk"),
    ],
)
def test_what_does_not_belong_together_is_refused(run, tmp_path, options, said):
    code, message = run(*options)
    assert code != 0 and not (tmp_path / "out.mp4").exists()
    assert re.search(said, message)


def test_without_its_file_the_command_that_brings_it_is_named(tmp_path, capsys):
    voice = cut_voice(tmp_path / "voice.wav", 0.24)
    files = ("--video", CLIP, "--audio", voice, "--out", tmp_path / "out.mp4", "--models", tmp_path)
    assert main(["sync", *map(str, files), "--generator", "musetalk"]) != 0
    assert "download musetalk" in capsys.readouterr().err
