"""Downloads against a real server on the loopback: whole, resumed, refused. Nothing outside this machine is asked."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from loopback_hub import running_hub

from latentsync_core.errors import LatentSyncError
from latentsync_core.models import download as download_module
from latentsync_core.models.catalog import SYNCNET_V2, WHISPER_TINY, ModelFile
from latentsync_core.models.download import CHUNK_BYTES, download

CONTENT = np.random.RandomState(7).bytes(8 * CHUNK_BYTES + 12345)
REVISION = "0123456789abcdef0123456789abcdef01234567"
MODEL = ModelFile(
    name="toy_unet.pt",
    folder="latentsync",
    purpose="a file for this test",
    repo_id="toy/LatentSync-9",
    revision=REVISION,
    filename="sub folder/unet.pt",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="none",
    other_places=("checkpoints/unet.pt",),
)


@pytest.fixture
def hub(monkeypatch):
    """A running Hub; proxies and Hub settings of the machine are kept out of the test."""
    for variable in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1,localhost")
    monkeypatch.setattr(download_module, "RETRY_PAUSES_S", (0, 0, 0))
    with running_hub() as hub:
        hub.publish(MODEL, CONTENT)
        hub.announced_hash, hub.announced_size = MODEL.sha256, MODEL.size
        yield hub


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_progress_reaches_the_end(hub, tmp_path):
    seen = []
    path = download(MODEL, tmp_path, lambda done, total: seen.append((done, total)), endpoint=hub.url)
    assert path == tmp_path / "latentsync" / "toy_unet.pt"
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == ["latentsync/toy_unet.pt"], "no part is left behind"
    assert seen == sorted(seen)
    assert seen[0] == (0, MODEL.size) and seen[-1] == (MODEL.size, MODEL.size)


@pytest.mark.parametrize("model", [SYNCNET_V2, WHISPER_TINY], ids=lambda model: model.name)
def test_a_published_file_is_asked_for_at_its_pinned_revision(hub, tmp_path, model):
    """This Hub has neither; with nothing received, nothing is left behind."""
    with pytest.raises(LatentSyncError, match=f"has no {model.filename}"):
        download(model, tmp_path, endpoint=hub.url)
    assert hub.requests[0]["path"] == f"/{model.repo_id}/resolve/{model.revision}/{model.filename}"
    assert files(tmp_path) == []


def test_a_file_already_there_is_not_asked_for(hub, tmp_path):
    place = tmp_path / "checkpoints" / "unet.pt"
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert download(MODEL, tmp_path, endpoint=hub.url) == place
    assert hub.requests == []


def test_a_broken_connection_is_taken_up_where_it_broke(hub, tmp_path):
    hub.cuts = [CHUNK_BYTES, 3 * CHUNK_BYTES + 1000]
    assert download(MODEL, tmp_path, endpoint=hub.url).read_bytes() == CONTENT
    assert hub.ranges() == [None, f"bytes={CHUNK_BYTES}-", f"bytes={4 * CHUNK_BYTES}-"]


def test_a_stopped_download_continues_in_the_next_call(hub, tmp_path):
    calls = []

    def cancel_in_the_third_chunk():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(MODEL, tmp_path, check_cancelled=cancel_in_the_third_chunk, endpoint=hub.url)
    assert files(tmp_path) == ["latentsync/toy_unet.pt.part"]

    first_progress = []
    path = download(MODEL, tmp_path, lambda done, total: first_progress.append(done), endpoint=hub.url)
    assert path.read_bytes() == CONTENT
    assert hub.ranges() == [None, f"bytes={2 * CHUNK_BYTES}-"]
    assert first_progress[0] == 2 * CHUNK_BYTES
    assert files(tmp_path) == ["latentsync/toy_unet.pt"]


def test_a_server_without_range_is_started_over(hub, tmp_path):
    hub.knows_range, hub.cuts = False, [CHUNK_BYTES]
    assert download(MODEL, tmp_path, endpoint=hub.url).read_bytes() == CONTENT
    assert len(hub.ranges()) == 2


def test_a_part_that_is_too_long_is_started_over(hub, tmp_path):
    part = tmp_path / "latentsync" / "toy_unet.pt.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    assert download(MODEL, tmp_path, endpoint=hub.url).read_bytes() == CONTENT


def test_a_server_that_keeps_breaking_leaves_the_part_for_later(hub, tmp_path):
    hub.cuts = [CHUNK_BYTES, 0, 0, 0]
    with pytest.raises(LatentSyncError, match="stopped at 0.1 of 0.5 MB .* goes on where it stopped"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert (tmp_path / "latentsync" / "toy_unet.pt.part").read_bytes() == CONTENT[:CHUNK_BYTES]


def test_a_busy_server_is_asked_again(hub, tmp_path):
    hub.refusals = [503, 429]
    assert download(MODEL, tmp_path, endpoint=hub.url).read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_removed(hub, tmp_path):
    hub.publish(MODEL, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(LatentSyncError, match="SHA-256 .* removed"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert files(tmp_path) == []


def test_a_part_spoilt_on_disk_is_noticed(hub, tmp_path):
    part = tmp_path / "latentsync" / "toy_unet.pt.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 5000)
    with pytest.raises(LatentSyncError, match="removed"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert hub.ranges() == ["bytes=5000-"]
    assert download(MODEL, tmp_path, endpoint=hub.url).read_bytes() == CONTENT


@pytest.mark.parametrize("announced", [{"announced_hash": "0" * 64}, {"announced_size": 17}])
def test_another_file_under_the_same_name_is_refused_before_it_is_kept(hub, tmp_path, announced):
    vars(hub).update(announced)
    with pytest.raises(LatentSyncError, match="offers another"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "sentence"), [(404, "has no sub folder/unet.pt"), (401, "HF_TOKEN"), (403, "HF_TOKEN")]
)
def test_refusals_name_the_cause(hub, tmp_path, status, sentence):
    hub.refusals = [status]
    with pytest.raises(LatentSyncError, match=sentence) as refusal:
        download(MODEL, tmp_path, endpoint=hub.url)
    assert f"HTTP {status}" in str(refusal.value)
    assert files(tmp_path) == []


def test_no_network_says_how_to_do_it_by_hand(hub, tmp_path):
    with pytest.raises(LatentSyncError, match=f"no connection to 127.0.0.1:1 .*{MODEL.page}.*{MODEL.target}"):
        download(MODEL, tmp_path, endpoint="http://127.0.0.1:1")
    assert files(tmp_path) == []


def test_token_goes_to_the_hub_but_not_to_its_store(hub, tmp_path):
    download(MODEL, tmp_path, endpoint=hub.url, token="hf_secret")
    assert [seen.get("Authorization") for seen in hub.requests] == ["Bearer hf_secret", None]


def test_endpoint_and_token_of_the_environment_are_honoured(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    download(MODEL, tmp_path)
    assert hub.requests[0]["Authorization"] == "Bearer hf_mine"


def test_hub_offline_forbids(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LatentSyncError, match="HF_HUB_OFFLINE"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert hub.requests == []


def test_no_room_is_said_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    free = download_module.shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(LatentSyncError, match="0.0 GB free, but toy_unet.pt needs"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert hub.requests == [] and files(tmp_path) == []


def test_an_unwritable_folder_is_named(hub, tmp_path):
    (tmp_path / "latentsync").write_text("a file where the folder should be")
    with pytest.raises(LatentSyncError, match="cannot be written to .*latentsync.*LATENTSYNC_MODELS"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert hub.requests == []


def test_a_damaged_file_of_the_user_is_not_overwritten(hub, tmp_path):
    target = tmp_path / "latentsync" / "toy_unet.pt"
    target.parent.mkdir()
    target.write_bytes(b"short")
    with pytest.raises(LatentSyncError, match="has 5 bytes where 536,633 are expected"):
        download(MODEL, tmp_path, endpoint=hub.url)
    assert target.read_bytes() == b"short"
