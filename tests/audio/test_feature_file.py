"""Features on disk are what they are in memory, and no more of them than asked for is read."""

import io
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.audio import log_mel_spectrogram

from latentsync_core.audio import (
    AudioTokens,
    FeatureFile,
    cached_features,
    delay_features,
    extract_features,
    feature_pieces,
    gather_tokens,
    indices_at,
    keep_on_disk,
    put_to_rest,
)
from latentsync_core.audio.feature_file import take
from latentsync_core.audio.log_mel import FRAMES_AT_ONCE, log_mel
from latentsync_core.disk_cache import DiskCache

STEPS = 4000  # 80 s: three pieces


def in_memory() -> torch.Tensor:
    return torch.randn(STEPS, 3, 8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def both() -> tuple[torch.Tensor, FeatureFile]:
    return in_memory(), keep_on_disk(in_memory().split(777))


def test_rows_are_those_of_the_tensor(both):
    memory, disk = both
    assert (disk.shape, len(disk), disk.nbytes) == (memory.shape, len(memory), memory.nbytes)
    for rows in (slice(0, 5), slice(1234, 2345), slice(-3, None), slice(7, 7), slice(3990, 9000), slice(None)):
        assert torch.equal(disk[rows], memory[rows])
    steps = torch.tensor([[5, 3999, 17], [17, 5, 5]])
    assert torch.equal(take(disk, steps), memory[steps])
    assert take(disk, steps[:, :0]).shape == (2, 0, 3, 8)
    with pytest.raises(ValueError, match="steps of 1"):
        disk[::2]


def test_a_run_hears_the_same_from_disk(both):
    memory, disk = both
    indices = indices_at(STEPS, [Fraction(frame, 25) for frame in range(2000)])
    assert torch.equal(gather_tokens(disk, indices[600:616]), gather_tokens(memory, indices[600:616]))
    assert torch.equal(AudioTokens(disk, indices, True)[1990:], AudioTokens(memory, indices, True)[1990:])
    gate = np.clip(np.sin(np.arange(STEPS) / 50) * 2, 0, 1)
    silence = torch.zeros_like(memory)
    rested = [put_to_rest(heard, lambda: silence.split(900), gate, keep_on_disk) for heard in both]
    assert torch.equal(rested[0][:], rested[1][:])
    for offset in (0, 20, -60, 7, -13.5):
        assert torch.equal(delay_features(disk, offset, keep_on_disk)[:], delay_features(memory, offset))


def test_only_what_is_asked_for_is_read(both):
    class Watched(io.FileIO):
        read_bytes = 0

        def readinto(self, buffer):
            Watched.read_bytes += len(memoryview(buffer).cast("B"))
            return super().readinto(buffer)

    with tempfile.TemporaryDirectory() as folder:
        disk = FeatureFile(Watched(Path(folder) / "f", "w+"), in_memory().split(1000))
        gather_tokens(disk, indices_at(STEPS, [Fraction(frame, 25) for frame in range(16)]))
        assert 0 < Watched.read_bytes <= 40 * 3 * 8 * 4


def test_the_cache_can_put_them_on_disk_and_its_file_may_then_go(tmp_path):
    cache = DiskCache(tmp_path)
    first = cached_features(cache, "k", lambda: iter(in_memory().split(500)), keep_on_disk)
    again = cached_features(cache, "k", lambda: pytest.fail("they are cached"), keep_on_disk)
    (tmp_path / "features" / "k.safetensors").unlink()
    assert torch.equal(first[:], in_memory()) and torch.equal(again[:], in_memory())


def test_a_full_disk_is_the_disks_error_and_not_the_caches(tmp_path, caplog):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    cached_features(DiskCache(tmp_path), "k", lambda: iter([in_memory()]))
    files = []
    with pytest.raises(OSError, match="No space left"):
        keep = lambda pieces: FeatureFile(files.append(Full()) or files[0], pieces)  # noqa: E731
        cached_features(DiskCache(tmp_path), "k", list, keep)
    assert files[0].closed and not caplog.records


def test_pieces_come_before_all_is_heard(whisper, speech):
    pieces, heard = feature_pieces(speech(41.3), whisper), extract_features(speech(41.3), whisper)
    first = next(pieces)
    assert len(first) < len(heard)
    assert torch.equal(torch.cat([first, *pieces]), heard)


@pytest.mark.parametrize("samples", [320, 16000, 160 * FRAMES_AT_ONCE, 160 * FRAMES_AT_ONCE + 163, 2_000_033])
def test_the_spectrogram_is_whispers_own(samples):
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(1)) / 10
    waveform = noise * torch.linspace(0, 1, samples) ** 3  # quiet at first: the floor is the whole recording's
    for n_mels in (80, 128):
        assert torch.allclose(log_mel(waveform, n_mels), log_mel_spectrogram(waveform, n_mels), atol=2e-6)
