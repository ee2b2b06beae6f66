"""The command that fills a folder with clips."""

import subprocess
import sys

import pytest

from latentsync_core.audio.espeak import speak
from latentsync_core.errors import LatentSyncError
from latentsync_core.training.dataset import find_clips
from latentsync_core.training.synthetic.__main__ import main

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")


def test_the_command_writes_what_the_trainer_finds(tmp_path, monkeypatch):
    try:
        speak("a")
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    command = ["-m", "latentsync_core.training.synthetic", str(tmp_path / "clips"), "--seconds", "1"]

    def render(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", [*command[1:], *options])
        return main()

    subprocess.run([sys.executable, *command, "--clips", "2"], check=True, capture_output=True)
    before = (tmp_path / "clips" / "0000.mp4").stat().st_mtime_ns
    assert render("--clips", "2") == render("--clips", "1", "--first", "1", "--held-out") == 0
    found = find_clips(tmp_path / "clips")  # where those held out are the last
    names = ["0000", "0001", "unheard-0001"]
    assert [source.video.name for source in found] == [f"{name}.mp4" for name in names]
    assert [source.voice.name for source in found] == [f"{name}.wav" for name in names]
    assert (tmp_path / "clips" / "0000.mp4").stat().st_mtime_ns == before, "clips already there are kept"
