"""Silence and offset through a whole run: what is painted, what is written, and what the report says."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings
from latentsync_core.models.loading import Models, load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings
from latentsync_core.pipeline.voice import curve_points

pytestmark = pytest.mark.long

FAST = {"steps": 1, "guidance": Guidance(1.0), "encode": EncodeSettings(codec="ffv1", audio_codec="pcm")}
FPS = 25


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("embedded", device="cpu")


@pytest.fixture(scope="module")
def voice(tmp_path_factory) -> Path:
    """0.5 s of the demo's voice, then 0.78 s of silence: 32 frames."""
    path = tmp_path_factory.mktemp("voice") / "pause.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        rate = source.getframerate()
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(0.5 * rate)) + bytes(2 * round(0.78 * rate)))
    return path


@pytest.fixture(scope="module")
def runs(models, voice, tmp_path_factory):
    """The same clip with each way to treat silence, and with an offset: (pictures, samples, report) by name."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, extra in {
        "off": {},
        "rest": {"silence": "rest"},
        "keep": {"silence": "keep"},
        "late": {"offset": 80},
    }.items():
        path = folder / f"{name}.mkv"
        report = lipsync(CLIP, voice, path, models, Settings(**FAST, **extra)).to_dict()
        found[name] = (pictures(path), samples(path), report)
    return found


def pictures(path: Path, count: int | None = None) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        frames = zip(range(count or 10**6), container.decode(video=0), strict=False)
        return [frame.to_ndarray() for _, frame in frames]


def samples(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([block.to_ndarray() for block in container.decode(audio=0)], axis=1)


def gate_of(report: dict) -> np.ndarray:
    frames, values = zip(*report["voice"]["gate"], strict=True)
    return np.interp(range(report["output_frames"]["written"]), frames, values)


def test_the_report_knows_the_silence_and_the_gate(runs):
    for name in ("off", "rest", "keep"):
        told = runs[name][2]["voice"]
        assert told["silence"] == name and told["seconds"] == pytest.approx(1.28, abs=1e-3)
        ((start, stop),) = told["silences"]
        assert start == pytest.approx(0.5, abs=0.06) and stop == pytest.approx(1.28)
    gate = gate_of(runs["off"][2])
    assert len(gate) == 32 and (gate[:14] == 1).all() and (gate[20:] == 0).all()
    assert ((gate > 0) & (gate < 1)).sum() >= 3 and (np.diff(gate) <= 0).all()


def test_keep_shows_the_filmed_mouth_in_silence_and_fades_into_it(runs):
    source, (kept, _, report) = pictures(CLIP, 32), runs["keep"]
    gate = gate_of(report)
    for index, (before, after) in enumerate(zip(source, kept, strict=True)):
        assert np.array_equal(before, after) == (gate[index] == 0)
    generated = runs["off"][0]
    change = [np.abs(after.astype(int) - before).sum() for before, after in zip(source, kept, strict=True)]
    full = [np.abs(after.astype(int) - before).sum() for before, after in zip(source, generated, strict=True)]
    share = np.array(change) / np.array(full)
    assert np.abs(share - gate).max() < 0.1
    assert report["output_frames"]["untouched"] == int((gate == 0).sum())
    assert report["output_frames"]["faded"] == int(((gate > 0) & (gate < 1)).sum())


def test_rest_generates_another_mouth_in_silence_only(runs):
    generated, rested = runs["off"][0], runs["rest"][0]
    different = [not np.array_equal(a, b) for a, b in zip(generated, rested, strict=True)]
    assert all(different[16:])
    assert runs["rest"][2]["output_frames"]["synced"] == 32


def test_offset_moves_the_mouth_and_leaves_the_sound(runs):
    sound = [found[1] for found in runs.values()]
    assert all(np.array_equal(sound[0], other) for other in sound)
    gate, late = gate_of(runs["off"][2]), gate_of(runs["late"][2])
    assert np.allclose(late[2:], gate[:-2], atol=1e-3)  # 80 ms are two frames
    assert runs["late"][2]["settings"]["offset"] == 80


def test_keep_needs_the_mouth_blend(models, voice, tmp_path):
    with pytest.raises(LatentSyncError, match="fades to the filmed mouth"):
        lipsync(CLIP, voice, tmp_path / "o.mkv", models, Settings(**FAST, silence="keep", blend="reference"))


def test_a_curve_is_its_corners():
    values = np.array([1, 1, 1, 0.5, 0, 0, 0, 0, 1])
    points = curve_points(values)
    assert points == [[0, 1], [2, 1], [3, 0.5], [4, 0], [7, 0], [8, 1]]
    assert np.array_equal(np.interp(range(9), *zip(*points, strict=True)), values)
    assert curve_points(np.ones(1)) == [[0, 1]]
