"""A job file is read by the options of sync; whatever is wrong in it is told by its line before anything runs."""

import json
from pathlib import Path

import pytest
from small_media import contents

from latentsync_core.__main__ import build_parser, main
from latentsync_core.cli.job_file import read_jobs
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError

FILES = {"video": str(CLIP), "audio": str(VOICE)}


@pytest.fixture
def read(tmp_path):
    """``read("jobs.csv", text, "--steps", "5")`` -> the jobs, with these options for all."""

    def run(name: str, text: str, *options: str):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        args = build_parser().parse_args(["batch", str(path), "--out", str(tmp_path / "out"), *options])
        return read_jobs(path, tmp_path / "out", args)

    return run


def as_lines(*jobs: dict) -> str:
    return "".join(f"{json.dumps(job)}\n" for job in jobs)


def test_a_line_goes_before_the_options_of_all(read):
    lines = as_lines({**FILES, "name": "a", "steps": 30, "guidance": None}, {**FILES, "name": "b.mkv"})
    first, second = read("jobs.jsonl", lines, "--steps", "5", "--codec", "hevc", "--checkpoint", "embedded")
    assert (first.settings.steps, second.settings.steps) == (30, 5)
    assert first.settings.encode.codec == second.settings.encode.codec == "hevc"
    assert first.choice == second.choice and first.choice.checkpoint == "embedded"
    assert (first.output.name, second.output.name, second.report.name) == ("a.mp4", "b.mkv", "b.json")
    assert (first.line, second.line) == (1, 2)


def test_a_table_says_the_same_as_an_object_a_line(read):
    fields = {**FILES, "name": "a", "grow": "-2.5", "lossless": "true", "bbox_shift": "3"}
    table = ",".join(fields) + "\n" + ",".join(fields.values()) + "\n"
    (row,) = read("jobs.csv", table)
    (line,) = read("jobs.jsonl", as_lines({**FILES, "name": "a", "grow": -2.5, "lossless": True, "bbox-shift": 3}))
    assert row.settings.seam == line.settings.seam and row.settings.seam.grow == -2.5
    assert row.settings.encode.lossless and row.identity == line.identity


def test_a_cell_left_empty_is_a_setting_not_given(read):
    (job,) = read("jobs.csv", f"video,audio,steps,lossless\n{CLIP},{VOICE},,\n", "--steps", "7")
    assert job.settings.steps == 7 and not job.settings.encode.lossless
    assert job.name == f"{CLIP.stem}-{VOICE.stem}"


def test_every_mistake_is_told_by_its_line_and_nothing_is_made(tmp_path, capsys):
    jobs = tmp_path / "jobs.jsonl"
    lines = [
        (json.dumps({**FILES, "name": "good"}), None),
        ("{video: 1}", "this is no JSON"),
        (json.dumps([1]), "[1] is no job"),
        (json.dumps({"video": str(CLIP)}), "the following arguments are required: --audio"),
        (json.dumps({**FILES, "name": "x", "colour": 1}), "'colour' is no setting of a job"),
        (json.dumps({**FILES, "name": "y", "steps": "many"}), "argument --steps: invalid int value: 'many'"),
        (json.dumps({**FILES, "name": "z", "blend": "chin"}), "argument --blend: invalid choice: 'chin'"),
        (json.dumps({**FILES, "name": "u", "steps": 0}), "0 steps were asked for"),
        (json.dumps({**FILES, "audio": "absent.wav"}), "absent.wav: there is no such file"),
        (json.dumps({**FILES, "name": "v", "checkpoint": "absent.pt"}), "absent.pt does not exist"),
        (json.dumps({**FILES, "name": "GOOD"}), "line 1 has the result 'GOOD' too"),
        (json.dumps({**FILES, "name": "a/b"}), "the name 'a/b' cannot be a file's"),
        (json.dumps({**FILES, "name": "w", "lossless": "maybe"}), "--lossless is 'maybe'; true or false"),
        (json.dumps({**FILES, "name": "t", "steps": [1]}), "--steps is [1]; a text or a number"),
        (json.dumps({**FILES, "name": "s", "out": "x.mp4"}), "'out' is no setting of a job"),
    ]
    jobs.write_text("\n".join(text for text, _ in lines))
    before = contents(tmp_path)
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()
    expected = [(number, words) for number, (_, words) in enumerate(lines, start=1) if words]
    assert len(said) == len(expected) + 1 and said[-1].startswith(f"error: {jobs}: {len(expected)} of its jobs")
    for line, (number, words) in zip(said, expected, strict=False):
        assert line.startswith(f"error: {jobs}, line {number}: ") and words in line
    assert contents(tmp_path) == before and not (tmp_path / "out").exists()


def test_a_table_that_is_none_is_told_by_its_line(read, caplog):
    for text, words in (
        (f"video,audio\n{CLIP},{VOICE},more\n", "line 2: there are more cells than columns"),
        (f'video,audio\n{CLIP},"{VOICE}\n', "this is no CSV"),
    ):
        with pytest.raises(LatentSyncError, match="1 of its jobs cannot be run"):
            read("jobs.csv", text)
        assert words in caplog.text


def test_what_holds_no_job_is_refused(read, tmp_path):
    for name, text, words in (
        ("jobs.txt", "x", "is to end in .jsonl or .csv"),
        ("jobs.jsonl", "\n \n", "there is no job"),
        ("jobs.csv", "video,audio\n", "there is no job"),
    ):
        with pytest.raises(LatentSyncError, match=words):
            read(name, text)
    with pytest.raises(LatentSyncError, match="there is no such file, a job file is needed"):
        read_jobs(tmp_path / "absent.csv", tmp_path, None)
    (tmp_path / "latin.csv").write_bytes("vidéo".encode("latin-1"))
    with pytest.raises(LatentSyncError, match="is not UTF-8"):
        read_jobs(tmp_path / "latin.csv", tmp_path, None)


def test_somebody_elses_result_is_not_replaced(read, tmp_path, caplog):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"a film")
    with pytest.raises(LatentSyncError):
        read("jobs.jsonl", as_lines({**FILES, "name": "a"}))
    assert "a.mp4 exists and is no batch's" in caplog.text
    assert (folder / "a.mp4").read_bytes() == b"a film"


def test_settings_that_a_generator_has_no_use_for_are_refused_before_the_first_run(tmp_path, capsys):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(as_lines({**FILES, "name": "a"}, {**FILES, "name": "b", "generator": "musetalk", "steps": 30}))
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--checkpoint", "embedded"]) == 2
    said = capsys.readouterr().err
    assert "line 2: The generator musetalk has no steps" in said
    assert not Path(tmp_path / "out").exists()
