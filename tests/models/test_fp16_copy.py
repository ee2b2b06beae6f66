"""A UNet kept as fp16 safetensors: half the size, the same network in fp16, found in place of the published file."""

import hashlib
import io
import signal
import sys
from dataclasses import replace

import pytest
import torch
from loopback_hub import running_hub
from safetensors import safe_open
from seeded import seed_weights

from latentsync_core.cli import download as download_command
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.catalog import MUSETALK_1_5, UNET_1_6, find, is_complete
from latentsync_core.models.fp16_copy import download_fp16, provenance, write_fp16
from latentsync_core.models.loading import native_resolution
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig, load_unet

SHALLOW_UNET = {
    "block_out_channels": [32, 32],
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "motion_module_resolutions": [1, 2],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
}
COPY = "latentsync_unet_1.6_fp16.safetensors"


@pytest.fixture(scope="module")
def content() -> bytes:
    """A small UNet as LatentSync publishes its own: float32, in a .pt, below `state_dict`."""
    file = io.BytesIO()
    network = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(SHALLOW_UNET)), prefix="fp16.")
    torch.save({"global_step": 0, "state_dict": network.state_dict()}, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def model(content):
    """The catalogue's entry for 1.6, with the size and the hash of that."""
    return replace(UNET_1_6, size=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture
def hub(monkeypatch, model, content):
    for variable in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1,localhost")
    with running_hub() as hub:
        hub.publish(model, content)
        yield hub


@pytest.fixture
def published(tmp_path, model, content):
    path = tmp_path / model.target
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_loaded_in_fp16_it_is_the_published_file_bit_for_bit(model, published):
    copy = published.with_name(COPY)
    write_fp16(model, published, copy)
    assert copy.stat().st_size < 0.51 * published.stat().st_size
    ours, theirs = load_unet(copy, torch.float16), load_unet(published, torch.float16)
    assert ours.config == theirs.config
    expected = theirs.state_dict()
    assert all(
        torch.equal(tensor, expected[name]) and tensor.dtype == expected[name].dtype
        for name, tensor in ours.state_dict().items()
    )
    as_stored = load_unet(copy).state_dict()
    assert {tensor.dtype for name, tensor in as_stored.items() if name.endswith("pos_encoder.pe")} == {torch.float32}
    assert {tensor.dtype for name, tensor in as_stored.items() if "pos_encoder" not in name} == {torch.float16}


def test_it_records_its_source_and_what_was_rounded(model, published):
    copy = published.with_name("renamed.safetensors")
    write_fp16(model, published, copy)
    with safe_open(copy, framework="pt") as file:
        about = file.metadata()
    assert about["latentsync.source_sha256"] == model.sha256
    assert about["latentsync.source"] == f"ByteDance/LatentSync-1.6/latentsync_unet.pt at {model.revision}"
    assert about["latentsync.rounding"].startswith("float32 weights to float16, to nearest")
    assert native_resolution(load_unet(copy).metadata, copy) == 512, "under any name"
    assert provenance(MUSETALK_1_5)["musetalk_release"] == "1.5"


def test_instead_leaves_the_copy_alone_and_beside_leaves_both(hub, model, tmp_path, content):
    for keep, expected in ((False, [COPY]), (True, [model.name, COPY])):
        target = tmp_path / str(keep) / model.target
        stages = []
        options = {"published": None, "keep_published": keep, "endpoint": hub.url}
        copy = download_fp16(model, target, on_progress=lambda *now, stages=stages: stages.append(now), **options)
        assert copy == target.with_name(COPY)
        assert sorted(path.name for path in target.parent.iterdir()) == expected
        assert ("download", model.size, model.size) in stages
        stage, done, total = stages[-1]
        assert stage == "round" and done == total > 0
    assert len(hub.ranges()) == 2


def test_a_copy_is_found_and_is_whole_and_is_not_fetched_again(hub, model, published, tmp_path, monkeypatch):
    write_fp16(model, published, published.with_name(COPY))
    assert find(model, tmp_path) == published
    published.unlink()
    assert find(model, tmp_path) == published.with_name(COPY) and is_complete(model, published.with_name(COPY))
    assert not is_complete(replace(model, sha256="0" * 64), published.with_name(COPY)), "of another published file"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for fp16 in (None, "beside", "instead"):
        assert download_command.fetch(model, tmp_path, fp16, hub.url) == published.with_name(COPY)
    with pytest.raises(LatentSyncError, match="HF_HUB_OFFLINE"):
        download_command.fetch(model, tmp_path, "off", hub.url)


def test_a_published_file_that_was_there_is_not_fetched_and_stays(hub, model, published, tmp_path):
    assert download_command.fetch(model, tmp_path, "instead", hub.url) == published.with_name(COPY)
    assert published.exists() and hub.requests == []


def test_a_copy_cut_short_is_no_copy_and_is_not_replaced(model, published, tmp_path):
    copy = published.with_name(COPY)
    write_fp16(model, published, copy)
    copy.write_bytes(copy.read_bytes()[:-1])
    assert not is_complete(model, copy)
    with pytest.raises(LatentSyncError, match="is damaged: move it away"):
        download_fp16(model, published, published=published, keep_published=True)


def test_what_was_interrupted_while_rounding_needs_no_second_download(hub, model, tmp_path):
    target, calls = tmp_path / model.target, []

    def cancel_while_rounding(stage, done, total):
        calls.append(stage)
        if stage == "round":
            raise KeyboardInterrupt

    options = {"published": None, "keep_published": False, "endpoint": hub.url}
    with pytest.raises(KeyboardInterrupt):
        download_fp16(model, target, on_progress=cancel_while_rounding, **options)
    assert [path.name for path in target.parent.iterdir()] == [model.name + ".part"]
    download_fp16(model, target, **options)
    assert [path.name for path in target.parent.iterdir()] == [COPY] and len(hub.ranges()) == 1


def test_weights_beyond_fp16_are_refused(model, published):
    whole = torch.load(published, weights_only=True)
    whole["state_dict"]["conv_in.bias"][0] = 70_000
    torch.save(whole, published)
    with pytest.raises(LatentSyncError, match="conv_in.bias has weights beyond float16's 65504"):
        write_fp16(model, published, published.with_name(COPY))
    assert list(published.parent.iterdir()) == [published]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size to stand for a full disk")
def test_a_disk_that_takes_no_more_leaves_no_half_copy(model, published):
    import resource

    before, signals = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(LatentSyncError, match=r"cannot be written to .*File too large"):
            write_fp16(model, published, published.with_name(COPY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signals)
    assert list(published.parent.iterdir()) == [published]
