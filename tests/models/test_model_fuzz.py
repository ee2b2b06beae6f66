"""Any bytes at all as a model file: the one sentence, never a traceback, and neither memory nor time without end.

Some dozens of cases run by default; LATENTSYNC_FUZZ=5000 runs so many.
"""

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import WHISPER, embedded_unet
from latentsync_core.models.syncnet import load_sync_net_v2, load_syncnet
from latentsync_core.models.unet import merge_lora, read_checkpoint
from latentsync_core.models.vae import load_vae
from latentsync_core.models.whisper import load_whisper

CASES = int(os.environ.get("LATENTSYNC_FUZZ", "60"))
LONGEST_SENTENCE = 700  # characters


@pytest.fixture(scope="module")
def loaders():
    unet = embedded_unet()
    return {
        "unet": read_checkpoint,
        "vae": load_vae,
        "whisper": load_whisper,
        "syncnet": load_syncnet,
        "syncnet v2": load_sync_net_v2,
        "lora": lambda path: merge_lora(unet, path),
    }


def pickled(content, **options) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def tensors_of(header, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file, its header as given whatever it claims."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list[int], start: int = 0, stop: int = 4) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


SMALL = {"a": torch.zeros(3)}
FIRST = {"encoder.conv1.weight": torch.zeros(64, 80, 3), "encoder.positional_embedding": torch.zeros(1500, 64)}
STATED = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 1, "n_audio_layer": 2**30}
FOREIGN = {
    "empty": b"",
    "wave": VOICE.read_bytes(),
    "mp4": CLIP.read_bytes()[:20_000],
    "text": b"a letter to a friend\n" * 30,
    "page": b"<!DOCTYPE html><html><title>404</title></html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n",
    "one byte": b"\x80",
    "zeros": bytes(5000),
    "cut safetensors": WHISPER.read_bytes()[:50_000],
    "cut header": WHISPER.read_bytes()[:100],
    "cut pt": pickled(SMALL)[:300],
    "cut old pt": pickled(SMALL, _use_new_zipfile_serialization=False)[:150],
    "zip": zipped({"letter.txt": b"a letter"}),
    "zip without pickle": zipped({"archive/version": b"3"}),
    "zip with a number": zipped({"archive/data.pkl": pickle.dumps(5), "archive/version": b"3"}),
    "zip bomb": zipped({"archive/data.pkl": bytes(2**27), "archive/version": b"3"}, zipfile.ZIP_DEFLATED),
    "header of 4 EB": tensors_of({}, length=2**62),
    "header beyond the end": tensors_of({}, length=90_000_000),
    "header is a list": tensors_of([]),
    "odd dtype": tensors_of({"a": entry("Q9", [1])}, bytes(4)),
    "overlap": tensors_of({"a": entry("F32", [1]), "b": entry("F32", [1])}, bytes(4)),
    "huge shape": tensors_of({"a": entry("F32", [2**40])}, bytes(4)),
    "overflowing shape": tensors_of({"a": entry("F32", [2**62, 2**62])}, bytes(4)),
    "four bits": tensors_of({"a": entry("F4", [8])}, bytes(4)),
    "scalars": tensors_of(
        {"conv1.weight": entry("F32", []), "positional_embedding": entry("F32", [0], 4, 4)}, bytes(4)
    ),
    "a number": pickle.dumps(5),
    "a list": pickle.dumps([1]),
    "a mapping": pickle.dumps(OrderedDict(a=1)),
    "a function": pickle.dumps(os.system),
    "a tensor alone": pickled(torch.zeros(2)),
    "names that are no text": pickled({1: torch.zeros(2), (2, 3): torch.zeros(3)}),
    "nested, no text": pickled({"state_dict": {1: torch.zeros(2)}}),
    "sparse": pickled({"a": torch.eye(3).to_sparse()}),
    "nowhere": pickled({"a": torch.zeros(3, device="meta")}),
    "one number for billions": pickled({"conv_in.weight": torch.zeros(1).expand(2**40)}),
    "billions of layers": pickled({"dims": STATED, "model_state_dict": FIRST}),
    "words for dims": pickled({"dims": {**STATED, "n_mels": "many"}, "model_state_dict": FIRST}),
    "dims of another": pickled({"dims": {**STATED, "n_audio_state": 2**40}, "model_state_dict": FIRST}),
    "complex": pickled({name: tensor.to(torch.complex64) for name, tensor in FIRST.items()}),
    "config is text": pickled({"config": "{", "state_dict": SMALL}),
    "config of nonsense": pickled(
        {"config": {"layers_per_block": 10**9, "block_out_channels": 7}, "state_dict": SMALL}
    ),
    "old names cut short": pickled({"encoder.down.0.block.0.conv1.weight": torch.zeros(3)}),
    "half a LoRA": pickled({"conv_in.lora_up.weight": torch.zeros(3)}),
}


def refuse_everywhere(loaders, path) -> None:
    for kind, load in loaders.items():
        with pytest.raises(LatentSyncError) as refusal:
            load(path)
        text = str(refusal.value)
        assert str(path) in text and "\n" not in text and len(text) < LONGEST_SENTENCE, f"{kind}: {text}"


@pytest.mark.filterwarnings("ignore")  # torch's own, of what it finds odd in a pickle
@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_model_gets_one_sentence(loaders, tmp_path, what):
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(FOREIGN[what])
        refuse_everywhere(loaders, path)


@pytest.mark.filterwarnings("ignore")
def test_random_and_mutated_bytes_get_one_sentence(loaders, tmp_path):
    originals = [
        pickled({**SMALL, "b": [1, "x"]}),
        pickled({**SMALL, "b": [1, "x"]}, _use_new_zipfile_serialization=False),
        tensors_of({"a": entry("F32", [1]), "__metadata__": {"config": "{}", "dims": "{}"}}, bytes(4)),
    ]
    for seed in range(CASES):
        rng = random.Random(seed)
        data = bytearray(rng.choice([*originals, rng.randbytes(rng.choice([1, 7, 64, 1000]))]))
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / rng.choice(["model.pt", "model.safetensors"])
        path.write_bytes(data)
        refuse_everywhere(loaders, path)


def test_what_is_no_file_gets_one_sentence(loaders, tmp_path):
    missing, folder, endless = tmp_path / "none.pt", tmp_path / "folder.pt", tmp_path / "pipe.pt"
    folder.mkdir()
    paths = [missing, folder, tmp_path / ("long" * 100)]
    if hasattr(os, "mkfifo"):
        os.mkfifo(endless)
        paths.append(endless)
    for path in paths:
        refuse_everywhere(loaders, path)


@pytest.mark.filterwarnings("ignore")
def test_nothing_in_a_model_file_is_executed(loaders, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = tmp_path / "trap.pt"
    for data in (pickle.dumps(Trap()), pickled({"a": Trap(), **SMALL})):
        path.write_bytes(data)
        refuse_everywhere(loaders, path)
    assert not (tmp_path / "sprung").exists()


def test_whole_numbers_are_no_weights(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(WHISPER, "pt") as file:
        tensors, about = {name: file.get_tensor(name).to(torch.int8) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors, tmp_path / "whole.safetensors", about)
    with pytest.raises(LatentSyncError, match=r"whole\.safetensors is an incomplete Whisper model"):
        load_whisper(tmp_path / "whole.safetensors")
