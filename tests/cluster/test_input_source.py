"""Clips in object storage: read by their addresses, copied once, and told apart when they change."""

import json
from pathlib import Path

import fsspec
import pytest
from small_media import QUICK, cut_voice

from latentsync_core.__main__ import main
from latentsync_core.cluster.input_source import INPUTS, local_file, parse_source, state_of, stem_of
from latentsync_core.demo import CLIP
from latentsync_core.disk_cache import DiskCache
from latentsync_core.errors import LatentSyncError


@pytest.fixture
def store():
    """A store in memory, as fsspec's own tests use it."""
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/clip.mkv", b"a film")
    yield system
    system.rm("/bucket", recursive=True)


ADDRESS = "memory://bucket/clip.mkv"


def test_paths_stay_paths_and_addresses_addresses():
    for text in ("clip.mp4", "/a/b.mp4", "C:/a.mp4", "a:b.mp4", "file:///a.mp4"):
        assert parse_source(text) == Path(text)
    assert parse_source("s3://bucket/a.mp4") == "s3://bucket/a.mp4"
    assert stem_of("s3://bucket/a.b.mp4") == "a.b" == stem_of(Path("a.b.mp4"))


def test_a_file_is_copied_once_until_it_changes(store, tmp_path):
    cache = DiskCache(tmp_path / "cache", limit=10**6)
    for content, counts in ((b"a film", (0, 1)), (b"a film", (1, 1)), (b"another", (1, 2))):
        if store.cat("/bucket/clip.mkv") != content:
            store.pipe("/bucket/clip.mkv", content)
        with local_file(ADDRESS, cache) as path:
            assert path.read_bytes() == content and path.suffix == ".mkv"
        assert not path.exists()
        assert (cache.found.get(INPUTS, 0), cache.computed[INPUTS]) == counts
    with local_file(ADDRESS, None) as path:
        assert path.read_bytes() == b"another"


def test_what_cannot_be_opened_is_said_in_a_sentence(store):
    with pytest.raises(LatentSyncError, match="memory://bucket/none.mkv: there is no such file"):
        state_of("memory://bucket/none.mkv")
    with pytest.raises(LatentSyncError, match="nostore://a/b.mp4: it cannot be opened"):
        state_of("nostore://a/b.mp4")
    with pytest.raises(LatentSyncError, match="none.mkv: it cannot be opened|no such file"):
        with local_file("memory://bucket/none.mkv", None):
            pass


@pytest.mark.long
def test_a_batch_reads_addresses_and_notices_a_new_recording(store, tmp_path, capsys):
    store.pipe("/bucket/clip.mp4", CLIP.read_bytes())
    store.pipe("/bucket/voice.wav", cut_voice(tmp_path / "voice.wav", 0.12).read_bytes())
    jobs, out = tmp_path / "jobs.csv", tmp_path / "out"
    jobs.write_text("video,audio\nmemory://bucket/clip.mp4,memory://bucket/voice.wav\n")
    command = ["batch", str(jobs), "--out", str(out), *QUICK, "--no-score"]
    assert main(command) == 0
    told = json.loads((out / "clip-voice.json").read_text())
    assert told["inputs"]["video"]["path"] == "memory://bucket/clip.mp4" and told["output_frames"]["written"] == 3
    assert main(command) == 0 and "0 jobs were run" in capsys.readouterr().out
    store.pipe("/bucket/voice.wav", cut_voice(tmp_path / "voice.wav", 0.08).read_bytes())
    assert main(command) == 0 and "1 jobs were run" in capsys.readouterr().out
    assert json.loads((out / "clip-voice.json").read_text())["output_frames"]["written"] == 2

    jobs.write_text("video,audio\nmemory://bucket/clip.mp4,memory://bucket/none.wav\n")
    assert main(command) == 2
    assert "line 2: memory://bucket/none.wav: there is no such file" in capsys.readouterr().err
