"""Whatever is handed in as a video or a voice, the refusal is one sentence that names the file and what it is."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader, probe_audio, probe_video, read_waveform

ACTIONS = {"video": probe_video, "reader": VideoReader, "audio": probe_audio, "waveform": read_waveform}


def missing(folder, make_clip):
    return folder / "gone.mp4", "there is no such file"


def a_folder(folder, make_clip):
    return folder, "this is a folder"


def empty(folder, make_clip):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4", "this file is empty"


def text(folder, make_clip):
    (folder / "notes.mp4").write_text("this is not a film\n" * 50)
    return folder / "notes.mp4", "this is a text file"


def plain_text(folder, make_clip):
    (folder / "notes.txt").write_text("this is not a film\n" * 50)
    return folder / "notes.txt", "this is text or a playlist"


def playlist(folder, make_clip):
    clip = make_clip("listed.mp4", frames=2)
    (folder / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    return folder / "list.ffconcat", "this is (text or a playlist|a text file)"


def without_index(folder, make_clip):
    path = make_clip("cut.mp4", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path, "truncated"


def noise(folder, make_clip):
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    return folder / "noise.mp4", "no known media format|could be decoded|no (video|audio) track|no sound"


def pipe(folder, make_clip):
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4", "a pipe or a device"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", [missing, a_folder, empty, text, plain_text, playlist, without_index, noise, pipe])
def test_files_that_are_no_media_are_refused(kind, action, tmp_path, make_clip):
    if kind is pipe and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    path, reason = kind(tmp_path, make_clip)
    with pytest.raises(LatentSyncError, match=reason) as refusal:
        ACTIONS[action](path)
    assert str(path) in str(refusal.value)
    assert "is needed" in str(refusal.value) or "make a fresh copy" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("action", [probe_video, probe_audio])
@pytest.mark.parametrize("address", ["https://host/a.mp4", "rtmp://host/live", "HTTP://host/a b.wav", "s3://x/y.mov"])
def test_an_address_is_not_opened_and_says_so(address, action):
    for given in (address, Path(address)):
        with pytest.raises(LatentSyncError, match="addresses are not opened.*download it first") as refusal:
            action(given)
        assert str(refusal.value).startswith(f"{address}: ")


def test_a_file_url_is_to_be_a_plain_path(tmp_path):
    with pytest.raises(LatentSyncError, match="leave out file://"):
        probe_video(f"file://{tmp_path}/none.mp4")


def test_sound_without_pictures_and_pictures_without_sound(make_clip, make_wav, speech):
    with pytest.raises(LatentSyncError, match=r"voice.wav: there is no video track .*only audio"):
        VideoReader(make_wav("voice.wav", speech(0.2)))
    with pytest.raises(LatentSyncError, match=r"mute.mp4: there is no audio track .*only video"):
        probe_audio(make_clip("mute.mp4", frames=2))


def test_a_video_track_in_which_nothing_decodes(make_clip):
    path = make_clip("hollow.mp4", frames=8)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[at:end] = bytes(end - at)
    path.write_bytes(data)
    with pytest.raises(LatentSyncError, match="not one picture .* could be decoded"):
        VideoReader(path)


def test_an_unreadable_file(make_clip, tmp_path):
    path = make_clip("private.mp4", frames=1)
    if os.name != "posix":
        pytest.skip("permissions work differently here")
    path.chmod(0)
    code = (
        "import os, sys\n"
        "from latentsync_core.media import probe_video\n"
        "from latentsync_core.errors import LatentSyncError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # root may read everything
        "try: probe_video(sys.argv[1])\n"
        "except LatentSyncError as error: sys.exit(0 if 'not permitted' in str(error) else str(error))\n"
        "sys.exit('it was read')\n"
    )
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["mit Leerzeichen ü.mp4", 'it\'s "quoted".mp4', "a:b.mp4", "100%d.mp4", "-dash.mp4"])
def test_any_name_is_read(name, make_clip):
    path = make_clip("plain.mp4", frames=2)
    if os.name != "posix" and set(name) & set(':"'):
        pytest.skip("no such names here")
    path = path.rename(path.with_name(name))
    assert probe_video(path).frames == 2
