"""A tiny training run: two short talking clips out of the demo's, and a config that trains on them in seconds."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.media import VideoReader
from latentsync_core.models.embedded import embedded_models
from latentsync_core.training import TrainConfig, from_dict

FRAMES, FPS, WINDOW = 14, 25, 4
TINY_UNET = {
    "block_out_channels": [32, 32],
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "layers_per_block": 1,
    "cross_attention_dim": embedded_models()[2].width,
}


def write_clip(path: Path, start: int) -> None:
    """Frames `start` on of the demo's clip, lossless, and the same interval of its voice beside it."""
    with av.open(str(path), "w") as target, VideoReader(CLIP) as reader:
        stream = target.add_stream("ffv1", rate=FPS, width=512, height=512, pix_fmt="yuv420p")
        for position, frame in enumerate(reader.frames_at(range(start, start + FRAMES))):
            picture = frame.picture
            picture.pts, picture.time_base = position, Fraction(1, FPS)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    with wave.open(str(VOICE)) as source, wave.open(str(path.with_suffix(".wav")), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(source.getframerate() * start // FPS)
        target.writeframes(source.readframes(source.getframerate() * FRAMES // FPS))


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory) -> Path:
    """A folder with two clips of fourteen frames, each with a .wav of its name."""
    folder = tmp_path_factory.mktemp("clips")
    for name, start in (("a", 0), ("b", 20)):
        write_clip(folder / f"{name}.mkv", start)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Prepared clips, shared by all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_config(clips_folder, cache, tmp_path):
    """``make_config(steps=3, model={...})``: a run into tmp_path / output; tables are merged into the defaults."""

    def make(output: str = "run", **tables) -> TrainConfig:
        values = {
            "data": {"clips": str(clips_folder), "cache": str(cache)},
            "model": {"resolution": 64, "unet": TINY_UNET},
            "optimizer": {"steps": 2, "batch": 2, "learning_rate": 1e-3, "ema": 0.9},
            "watch": {"log_every": 1, "sample_every": 0, "save_every": 0, "sample_steps": 1, "strips": 1},
        }
        for name, table in tables.items():
            values[name] = {**values.get(name, {}), **table} if isinstance(table, dict) else table
        return from_dict(TrainConfig, {"output": str(tmp_path / output), "window": WINDOW, "device": "cpu", **values})

    return make
