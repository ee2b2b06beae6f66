"""The micro MuseTalk that comes with the package: small, as recorded, and its mouth follows a voice."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

import latentsync_core
from latentsync_core.demo import CLIP, MOUTH, VOICE
from latentsync_core.faces import track_faces
from latentsync_core.faces.mouth_opening import correlation, mouth_opening
from latentsync_core.generators.musetalk.loading import load_musetalk
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.embedded import MUSETALK, embedded_musetalk_unet
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.settings import Settings

FRAMES, FPS = 60, 25
MOST_WEIGHTS = 20e6  # bytes of all networks in the package
LEAST_CORRELATION = 0.5


def test_its_file_says_what_it_is_and_how_it_was_trained():
    file = read_tensors(MUSETALK)
    assert file.about["generator"] == "musetalk" and file.about["position_encoding"] == "off"
    assert "one portrait" in file.about["knows"] and file.mapping("training")["optimizer"]["steps"] > 0
    assert all(tensor.dtype == torch.float16 for tensor in file.tensors.values())
    unet = embedded_musetalk_unet()
    assert unet.config.generator == "musetalk" and unet.dtype == torch.float32


def test_all_networks_of_the_package_together_are_small():
    weights = Path(latentsync_core.__file__).parent.rglob("*.safetensors")
    assert sum(path.stat().st_size for path in weights) < MOST_WEIGHTS


@pytest.mark.long
def test_the_mouth_follows_the_packaged_voice(tmp_path):
    voice, result = tmp_path / "voice.wav", tmp_path / "result.mkv"
    with wave.open(str(VOICE)) as source, wave.open(str(voice), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate() * FRAMES // FPS))
    musetalk = load_musetalk("embedded", device="cpu")
    lipsync(CLIP, voice, result, musetalk, Settings(cache=None, encode=EncodeSettings("ffv1")))
    truth = np.array(json.loads(MOUTH.read_text())["opening"][:FRAMES])
    with VideoReader(result) as reader:
        found = mouth_opening(track_faces(frame.rgb() for frame in reader.frames()).mesh)
    assert correlation(found, truth) > LEAST_CORRELATION
    others = [correlation(np.roll(found, shift), truth) for shift in range(15, FRAMES - 15)]
    assert max(others) < correlation(found, truth)  # the voice is followed now, not some time
