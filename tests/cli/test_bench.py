"""``bench`` prints measurements: that they are there and mean what they say, not how good they are here."""

import dataclasses
import json
import math
import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from small_media import QUICK, cut_voice

from latentsync_core.__main__ import main
from latentsync_core.benchmark.whole_runs import WholeRun, signal_to_noise
from latentsync_core.cli.bench_run import table
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoWriter, probe_video
from latentsync_core.media.picture.planes import channel_samples

STAGES = ("decode", "track", "crop", "paste", "track + crop + paste")
WINDOW_STAGES = (
    "read",
    "track",
    "crop",
    "encode",
    "voice",
    "UNet guided, full",
    "UNet guided, cached",
    "UNet voice only, full",
    "UNet voice only, cached",
    "decode",
    "paste",
    "write",
)


def test_faces_prints_a_row_for_every_stage(capsys):
    assert main(["bench", "faces", "--video", str(CLIP), "--frames", "3", "--resolution", "128"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"clip\.mp4: 512x512, 3 frames, crop 128 px, \w+, \d+ torch threads?\n", printed)
    rows = dict(re.findall(r"^([a-z][a-z +]*?) +(\d+\.\d +\d+\.\d)$", printed, re.MULTILINE))
    assert tuple(rows) == STAGES
    for name, row in rows.items():
        median, minimum = map(float, row.split())
        assert 0 <= minimum <= median < 5000, name
    assert "Goal" in printed and "12 ms" in printed


@pytest.mark.long
def test_stages_follow_a_window_from_reading_to_writing(tmp_path, capsys):
    options = ["--frames", "2", "--resolution", "64", "--runs", "1", "--json", str(tmp_path / "stages.json")]
    assert main(["bench", "stages", *options]) == 0
    printed = capsys.readouterr().out
    costs = json.loads((tmp_path / "stages.json").read_text())
    stages = {stage["name"]: stage for stage in costs["stages"]}
    assert tuple(stages) == WINDOW_STAGES
    assert costs["frames"] == 2 and costs["resolution"] == 64 and costs["ram"] > 100 * 2**20
    for name, stage in stages.items():
        assert re.search(rf"^{re.escape(name)} +{stage['ms_per_frame']:.2f} ", printed, re.MULTILINE)
        assert len(stage["samples_ms"]) == 1 and stage["vram_bytes"] is None
    guided, alone = (stages[f"UNet {side}, full"]["gflop_per_frame"] for side in ("guided", "voice only"))
    assert alone < guided <= 2 * alone  # less than twice where both sides share work
    for side in ("guided", "voice only"):
        full, cached = (stages[f"UNet {side}, {kind}"]["gflop_per_frame"] for kind in ("full", "cached"))
        assert 0 < cached < full / 4
    assert stages["read"]["gflop_per_frame"] == stages["write"]["gflop_per_frame"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["faces", "--video", "absent.mp4"], "absent.mp4: there is no such file"),
        (["faces", "--video", str(CLIP), "--resolution", "200"], "200 pixels"),
        (["stages", "--frames", "25"], "24"),
        (["stages", "--checkpoint", "absent.pt"], "absent.pt"),
        (["stages", "--json", "numbers.txt"], ".json"),
        (["compare", "--reference", "absent", "--checkpoint", "absent.pt"], "absent.pt"),
        (["compare", "--reference", "absent", "--resolution", "100"], "100 pixels"),
        (["compare", "--reference", "absent", "--reuse", "1"], "cached"),
        (["compare", "--reference", "absent", "--steps", "501"], "501 steps"),
        (["run", "--video", str(CLIP), "--audio", "absent.wav"], "absent.wav"),
        (["run", "--video", str(CLIP), "--audio", str(VOICE), "--against-options", ""], "--against-options"),
        (["run", "--video", str(CLIP), "--audio", str(VOICE), "--against", "/"], "no latentsync_core"),
        (["memory", "--size", "big"], "--size is 'big'"),
        (["memory", "--size", "33x33"], "33x33"),
        (["memory", "--seconds", "0"], "0.0 s"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, said, capsys):
    assert main(["bench", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read on Linux and macOS")
def test_memory_prints_peaks_of_runs_of_their_own(capsys):
    parents = np.ones(800 * 2**20 // 8)  # of which the measured processes must see nothing
    assert main(["bench", "memory", "--seconds", "0.2", "0.4", "--size", "256x128"]) == 0
    del parents
    printed = capsys.readouterr().out
    rows = re.findall(r"^ +([\d.]+) s +(\d+) +(\d+) +(\d+) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert [(seconds, frames) for seconds, frames, *_ in rows] == [("0.2", "5"), ("0.4", "10")]
    for *_, peak, loaded, latents, _ in rows:
        assert 100 < int(loaded) <= int(peak) < 1000  # MiB
        assert float(latents) < 1
    assert re.search(r"Without latents and track 0\.4 s take \d\.\d{3} times the memory of 0\.2 s; ", printed)


@pytest.mark.long
def test_run_takes_a_whole_clip_through_a_process_of_its_own(tmp_path, capsys):
    voice, numbers = cut_voice(tmp_path / "voice.wav", 0.24), tmp_path / "runs.json"
    files = ["--video", str(CLIP), "--audio", str(voice), "--json", str(numbers)]
    assert main(["bench", "run", *files, "--runs", "1", "--", *map(str, QUICK)]) == 0
    assert re.search(r"^frames per second +\d+\.\d\d$", capsys.readouterr().out, re.MULTILINE)
    (run,) = json.loads(numbers.read_text())["runs"]["here"]
    assert run["frames"] == 6 and set(run["stages"]) == {"voice", "faces", "encode", "sample", "write"}
    assert sum(run["stages"].values()) < run["seconds"] == pytest.approx(run["frames"] / run["fps"])


def test_two_checkouts_are_told_apart_by_medians_and_their_ratio():
    before = [WholeRun(seconds, {"sample": seconds / 2}, frames=60, ram=2**30, vram=None) for seconds in (9, 10, 30)]
    after = [WholeRun(seconds, {"sample": seconds / 4}, frames=60, ram=2**31, vram=None) for seconds in (4, 5, 6)]
    rows = dict(re.findall(r"^ *(\D+?) {2,}(.*)$", table({"here": after, "against": before}), re.MULTILINE))
    assert rows["seconds"].split() == ["5.00", "10.00", "0.500"]
    assert rows["frames per second"].split() == ["12.00", "6.00", "2.000"]
    assert rows["sample"].split() == ["1.25", "5.00", "0.250"]
    assert rows["RAM at the peak"].split() == ["2.0", "GiB", "1.0", "GiB"] and "VRAM at the peak" not in rows


def test_pictures_of_results_are_compared_in_decibels(tmp_path):
    def grey(name: str, level: int) -> Path:
        path = tmp_path / name
        info = dataclasses.replace(probe_video(CLIP), width=64, height=64)
        with VideoWriter(path, info, EncodeSettings(crf=0)) as writer:
            picture = av.VideoFrame(64, 64, "yuv420p")
            for samples, value in zip(channel_samples(picture), (level, 128, 128), strict=True):
                samples[:] = value
            writer.write(picture)
        return path

    dark, light = grey("dark.mkv", 16 + 73), grey("light.mkv", 16 + 146)  # thirds of luma's range: RGB 85 and 170
    assert signal_to_noise(dark, dark) == math.inf
    assert signal_to_noise(dark, light) == pytest.approx(20 * math.log10(3))
    with pytest.raises(LatentSyncError, match="size"):
        signal_to_noise(dark, CLIP)
