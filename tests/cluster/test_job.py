"""What a folder holds of a job is told from its report, and anything that shapes the result makes it another job."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from latentsync_core.cluster.job import Job, JobState
from latentsync_core.generators.choice import GeneratorChoice
from latentsync_core.settings import Settings


@pytest.fixture
def job(tmp_path) -> Job:
    for name in ("clip.mp4", "voice.wav"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "out").mkdir()
    return Job(
        line=1,
        video=tmp_path / "clip.mp4",
        audio=tmp_path / "voice.wav",
        output=tmp_path / "out" / "name.mp4",
        choice=GeneratorChoice(checkpoint="embedded"),
        settings=Settings(),
    )


def test_a_job_is_new_then_interrupted_then_done(job):
    assert job.state() is JobState.NEW
    job.write_report({})
    assert job.state() is JobState.INTERRUPTED
    job.write_report({"output_frames": {"written": 3}})
    assert job.state() is JobState.INTERRUPTED, "the result is gone"
    job.output.write_bytes(b"a film")
    assert job.state() is JobState.DONE


def test_what_shapes_the_result_makes_it_another_job_and_nothing_else_does(job, tmp_path):
    job.output.write_bytes(b"a film")
    job.write_report({"output_frames": {"written": 3}})
    same = (replace(job.settings, resume=True), replace(job.settings, batch=4))
    assert all(replace(job, settings=settings, line=7).state() is JobState.DONE for settings in same)
    others = (
        replace(job, settings=Settings(steps=30)),
        replace(job, choice=GeneratorChoice(checkpoint=Path("other.pt"))),
        replace(job, audio=tmp_path / "clip.mp4"),
    )
    assert all(other.state() is JobState.CHANGED for other in others)
    os.utime(job.audio, ns=(1, 1))  # another recording under the same name
    assert replace(job).state() is JobState.CHANGED


def test_a_report_that_is_no_batchs_tells_nothing(job):
    for text in ("", "[]", '{"output_frames": {}}', "{"):
        job.report.write_text(text)
        assert job.state() is JobState.NEW and job.earlier_report() is None
