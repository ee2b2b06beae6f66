"""File names that are no UTF-8, and terminals that know ASCII only: all is written, nothing ends in a traceback."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from small_media import GENEROUS, PROGRAM, QUICK, ROOT, cut_voice

from latentsync_core.demo import CLIP
from latentsync_core.file_names import utf8_path, valid_text
from latentsync_core.models.embedded import UNET, VAE, WHISPER
from latentsync_core.pipeline.resume.run_folder import folder_beside

ODD = os.fsdecode(b"caf\xe9 \xff")
ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are Unicode")


def program(*arguments) -> subprocess.CompletedProcess:
    """The program's answer, in bytes; no traceback in it."""
    ended = subprocess.run(
        [*PROGRAM, *arguments], cwd=ROOT, capture_output=True, timeout=GENEROUS, env={**os.environ, **ASCII_ONLY}
    )
    assert b"Traceback" not in ended.stderr and b"UnicodeEncodeError" not in ended.stderr, ended.stderr
    return ended


@pytest.fixture
def odd(tmp_path):
    """A folder with such a name."""
    folder = tmp_path / ODD
    folder.mkdir()
    return folder


@pytest.mark.long
def test_sync_reads_and_writes_any_name(odd):
    clip, unet = odd / f"{ODD}.mp4", odd / f"{ODD}.safetensors"
    shutil.copy(CLIP, clip)
    shutil.copy(UNET, unet)
    voice = cut_voice(odd / "plain.wav", 0.08).rename(odd / f"{ODD}.wav")
    result, report, sheet = (odd / f"{ODD} made{suffix}" for suffix in (".mp4", ".json", ".png"))
    given = ("--video", clip, "--audio", voice, "--out", result, "--report", report, "--contact-sheet", sheet)
    models = ("--checkpoint", unet, "--vae", VAE, "--whisper", WHISPER, "--cache", odd / "cache")
    ended = program("sync", *given, *models, *QUICK[2:-1], "--verbose")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(report.read_bytes().decode("utf-8"))  # valid UTF-8, and the names come back
    assert os.fsencode(found["inputs"]["video"]["path"]) == os.fsencode(clip)
    assert os.fsencode(found["output"]["path"]) == os.fsencode(result)
    assert result.stat().st_size and sheet.stat().st_size and list((odd / "cache").iterdir())
    assert sorted(path.suffix for path in odd.iterdir()) == [
        "",
        ".json",
        ".mp4",
        ".mp4",
        ".png",
        ".safetensors",
        ".wav",
    ]


@pytest.mark.long
def test_every_command_names_what_it_cannot_use(odd):
    absent = odd / f"absent {ODD}"
    for arguments in (
        ("sync", "--video", absent, "--audio", absent, "--out", odd / "a.mp4"),
        ("sync", "--video", CLIP, "--audio", CLIP, "--out", absent / "a.mp4"),
        ("sync", "--video", CLIP, "--audio", CLIP, "--out", odd / "a.mp4", "--checkpoint", absent),
        ("people", absent),
        ("train", absent),
        ("ablate", "--train", absent),
        ("bench", "faces", "--video", absent),
        ("bench", "seams", "--audio", absent),
        ("sync", "--precision", ODD),
    ):
        ended = program(*arguments)
        assert ended.returncode == 2 and b"error: " in ended.stderr and b"\\udc" in ended.stderr, arguments
    ended = program("doctor", "--models", absent)
    assert ended.returncode in (0, 1) and b"Model files in" in ended.stdout
    refused = ("download", "1.6", "--models", absent, "--endpoint", "http://127.0.0.1:9")
    assert program(*refused).returncode == 2


def test_a_name_in_json_is_valid_and_comes_back():
    text = valid_text(json.dumps({"path": ODD}, ensure_ascii=False))
    assert json.loads(text.encode("utf-8"))["path"] == ODD


def test_a_link_stands_in_only_where_the_name_needs_it(tmp_path, odd):
    with utf8_path(tmp_path) as place:
        assert place == tmp_path
    with utf8_path(odd / "made") as place:
        place.write_text("through the link")
    assert (odd / "made").read_text() == "through the link" and not place.exists()


def test_the_folder_of_a_run_has_a_name_that_fits(tmp_path):
    for name in (os.fsdecode(b"\xff" * 240) + "a.mp4", "\u00e9" * 120 + ".mp4", ODD + ".mp4"):
        folder = folder_beside(tmp_path / name)
        folder.mkdir()
        assert len(os.fsencode(folder.name)) <= 255
