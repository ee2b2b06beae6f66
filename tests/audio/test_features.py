"""Whisper features equal the reference, and the better joins remove its step every 30 seconds."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latentsync_core.audio import extract_features
from latentsync_core.audio.features import block_starts
from latentsync_core.audio.log_mel import mel_filters
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.whisper import load_whisper


@pytest.fixture(scope="module")
def long_clip(whisper, speech):
    waveform = speech(41.3)
    return {joins: extract_features(waveform, whisper, joins=joins) for joins in ("overlap", "reference")}


@pytest.mark.parametrize("seconds", [7.3, 41.3])
def test_features_equal_the_reference(whisper, speech, golden, seconds):
    expected = golden("whisper.npz")
    features = extract_features(speech(seconds), whisper, joins="reference").numpy()
    assert features.shape == tuple(expected[f"shape_{seconds}"])
    middle = len(features) // 2 - 3
    assert np.abs(features[:6] - expected[f"feat_head_{seconds}"]).max() < 1e-3
    assert np.abs(features[-6:] - expected[f"feat_tail_{seconds}"]).max() < 1e-3
    assert np.abs(features[middle : middle + 6] - expected[f"feat_mid_{seconds}"]).max() < 1e-3
    assert np.abs(features.mean(axis=(1, 2)) - expected[f"feat_mean_{seconds}"]).max() < 1e-3


def test_short_clips_have_no_join(whisper, speech):
    waveform = speech(7.3)
    assert torch.equal(extract_features(waveform, whisper), extract_features(waveform, whisper, joins="reference"))


def largest_step(features: torch.Tensor, start: int, stop: int) -> float:
    """Largest change between neighbouring steps in an interval, as a multiple of the clip's median change."""
    change = (features[1:] - features[:-1]).flatten(1).norm(dim=1)
    return float(change[start:stop].max() / change.median())


def test_overlap_leaves_no_step_where_the_reference_has_one(long_clip):
    at_join = (1498, 1501)  # 30 s
    assert largest_step(long_clip["reference"], *at_join) > 3
    assert largest_step(long_clip["overlap"], *at_join) < 1.5
    # nor anywhere else: the faded stretch is as smooth as the rest of the clip
    everywhere = largest_step(long_clip["overlap"], 5, len(long_clip["overlap"]) - 6)
    inside_blocks = largest_step(long_clip["reference"], 5, 1400)
    assert everywhere < 1.2 * inside_blocks


def test_overlapped_blocks_cover_the_clip_and_share_five_seconds():
    for mel_frames in (3001, 3500, 4130, 5501, 60_000, 60_001):
        starts = block_starts(mel_frames, 3000, "overlap")
        assert starts[0] == 0 and all(start % 2 == 0 for start in starts)
        assert mel_frames - 1 <= starts[-1] + 3000 <= mel_frames + 1
        assert all(a + 3000 - b >= 500 for a, b in zip(starts, starts[1:], strict=False))


def test_progress_and_cancel(whisper, speech):
    seen = []
    extract_features(speech(41.3), whisper, on_progress=lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]

    def cancel():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(speech(7.3), whisper, check_cancelled=cancel)


def test_impossible_requests_are_refused(whisper):
    with pytest.raises(LatentSyncError, match="side-by-side"):
        extract_features(np.zeros(16000, np.float32), whisper, joins="side-by-side")
    with pytest.raises(LatentSyncError, match="10 samples"):
        extract_features(np.zeros(10, np.float32), whisper)


def published_layout(whisper, dims) -> dict:
    state = {f"encoder.{name}": tensor for name, tensor in whisper.state_dict().items()}
    return {"dims": dims, "model_state_dict": {**state, "decoder.ln.weight": torch.zeros(48)}}


def test_published_whisper_files_load_without_their_decoder(tmp_path, whisper, golden):
    torch.save(published_layout(whisper, golden("whisper_small.json")), tmp_path / "tiny.pt")
    loaded = load_whisper(tmp_path / "tiny.pt")
    assert (loaded.layers, loaded.width, loaded.blocks[0].attn.n_head) == (5, 48, 4)
    assert loaded.state_dict().keys() == whisper.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), whisper.state_dict().values(), strict=True)
    )


def test_other_files_are_no_whisper(tmp_path, whisper, golden):
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(LatentSyncError, match="unet.safetensors is no Whisper model"):
        load_whisper(tmp_path / "unet.safetensors")
    layout = published_layout(whisper, golden("whisper_small.json"))
    del layout["model_state_dict"]["encoder.blocks.2.mlp.0.weight"]
    torch.save(layout, tmp_path / "tiny.pt")
    with pytest.raises(LatentSyncError, match="incomplete Whisper model .*blocks.2.mlp.0.weight"):
        load_whisper(tmp_path / "tiny.pt")


def test_a_missing_whisper_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr("latentsync_core.audio.log_mel.find_spec", lambda name: None)
    mel_filters.cache_clear()
    with pytest.raises(LatentSyncError, match="pip install openai-whisper"):
        mel_filters(80)
