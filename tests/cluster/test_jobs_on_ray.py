"""A batch on a real cluster: a clip whose worker is lost goes on with another, and one that kills all stops nobody."""

from pathlib import Path

import pytest
from sleeping_generator import SleepingChoice

from latentsync_core.cluster.job import Job, JobState
from latentsync_core.cluster.jobs_on_ray import run_jobs_on_ray
from latentsync_core.cluster.placement import Needs
from latentsync_core.options import EncodeSettings
from latentsync_core.progress import never_cancelled
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long

TWO = Needs(address="auto", workers=2)
FRAMES = 12


@pytest.fixture
def job(media, tmp_path):
    """``job(1, seconds=0.5)`` -> line 1 of a batch, whose faults and traces are in a folder of its own."""
    (tmp_path / "out").mkdir()

    def make(line: int, seconds: float = 0.0) -> Job:
        folder = tmp_path / f"job{line}"
        folder.mkdir(exist_ok=True)
        return Job(
            line=line,
            video=media[0],
            audio=media[1],
            output=tmp_path / "out" / f"clip{line}.mp4",
            choice=SleepingChoice(folder, seconds),
            settings=Settings(encode=EncodeSettings(preset="ultrafast")),
            scored=False,
        )

    return make


def test_lost_workers_cost_only_the_clip_that_kills_them_all(machines, job):
    machines(2)
    jobs = [job(line) for line in (1, 2, 3)]
    jobs[0].choice.fault(0, "poison")
    jobs[1].choice.fault(0, "kill")
    outcomes = {outcome.job.line: outcome for outcome in run_jobs_on_ray(jobs, TWO, never_cancelled)}
    assert {line: outcome.state for line, outcome in outcomes.items()} == {1: "failed", 2: "done", 3: "done"}
    assert "3 workers in turn ended without a word" in outcomes[1].error
    assert [each.state() for each in jobs] == [JobState.INTERRUPTED, JobState.DONE, JobState.DONE]
    assert jobs[1].output.read_bytes() == jobs[2].output.read_bytes() and not jobs[0].output.exists()

    Path(jobs[0].choice.folder, "fault-0").unlink()
    (outcome,) = run_jobs_on_ray([jobs[0]], TWO, never_cancelled)
    assert outcome.state == "done" and jobs[0].output.read_bytes() == jobs[1].output.read_bytes()


class StopError(Exception):
    """What a test raises in place of Ctrl-C."""


def test_a_batch_that_is_stopped_ends_its_workers_and_leaves_clips_to_go_on_with(machines, job, monkeypatch):
    machines(1)
    clip = job(1, seconds=60)

    def stop() -> None:
        if clip.report.exists():  # the worker has begun, and sleeps for a minute
            raise StopError

    with pytest.raises(StopError):
        list(run_jobs_on_ray([clip], Needs(address="auto", workers=1), stop))
    assert clip.state() is JobState.INTERRUPTED and not clip.output.exists()


def test_shares_of_clips_under_way_are_told(machines, job):
    machines(2)
    jobs = [job(line, seconds=3) for line in (1, 2)]
    shares: list[float] = []
    outcomes = list(run_jobs_on_ray(jobs, TWO, never_cancelled, shares.append))
    assert [outcome.state for outcome in outcomes] == ["done", "done"]
    assert shares and all(0 <= share <= 2 for share in shares)
