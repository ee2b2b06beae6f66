"""The package as ComfyUI's registry delivers it, without what .comfyignore leaves out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = [
    ROOT / line.strip("/")
    for line in (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    if line.startswith("latentsync_core/")
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder with the archive's package."""
    folder = tmp_path_factory.mktemp("archive")

    def ignored(parent: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(parent, name) in LEFT_OUT or name == "__pycache__"}

    shutil.copytree(ROOT / "latentsync_core", folder / "latentsync_core", ignore=ignored)
    return folder


def program(archive, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "latentsync_core", *arguments]
    return subprocess.run(command, cwd=archive, capture_output=True, text=True, timeout=60)


def test_what_is_left_out_is_there_to_be_left_out():
    assert LEFT_OUT and all(path.is_dir() for path in LEFT_OUT)


def test_every_command_can_be_asked_for_and_research_is_refused_in_a_sentence(archive):
    assert program(archive, "--help").returncode == 0
    refused = program(archive, "ablate")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "run `evaluate` in a clone of the repository" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.long
def test_training_needs_nothing_that_is_left_out(archive):
    loaded = subprocess.run(
        [sys.executable, "-c", "import latentsync_core.training, latentsync_core.cli.sync"], cwd=archive, timeout=60
    )
    assert loaded.returncode == 0
