"""``sync`` and ``batch`` on a cluster, as they are typed."""

import json

import pytest
from small_media import QUICK, cut_voice

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP

pytestmark = pytest.mark.long


def test_sync_and_batch_give_the_same_file_and_report(machines, tmp_path, capsys):
    machines(1)
    voice = cut_voice(tmp_path / "voice.wav", 1.04)  # long enough for a score
    (tmp_path / "out").mkdir()
    cluster = ("--cluster", "auto", "--parallel", "1")
    out, report = tmp_path / "out" / "one.mp4", tmp_path / "one.json"
    files = ("--video", CLIP, "--audio", voice, "--out", out, "--report", report)
    assert main(["sync", *map(str, files), *QUICK, *cluster]) == 0
    jobs = tmp_path / "jobs.csv"
    jobs.write_text(f"video,audio,name\n{CLIP},{voice},one\n")
    assert main(["batch", str(jobs), "--out", str(tmp_path / "batch"), *QUICK, *cluster]) == 0
    assert out.read_bytes() == (tmp_path / "batch" / "one.mp4").read_bytes()
    told = [json.loads(path.read_text()) for path in (report, tmp_path / "batch" / "one.json")]
    assert told[0]["output_frames"] == told[1]["output_frames"] and told[0]["output_frames"]["synced"] == 26
    assert told[0]["scores"]["frames"] == told[1]["scores"]["frames"] == 26
    assert "1 of 1 results stand" in capsys.readouterr().out


def test_what_a_cluster_cannot_do_is_refused_before_any_work(tmp_path, capsys):
    sheet, voice = tmp_path / "sheet.png", cut_voice(tmp_path / "voice.wav", 0.2)
    files = ("--video", CLIP, "--audio", voice, "--out", tmp_path / "out.mp4", "--contact-sheet", sheet)
    assert main(["sync", *map(str, files), *QUICK, "--cluster", "auto"]) == 2
    assert "only the workers of a cluster see" in capsys.readouterr().err
