"""The sound of a VIDEO on the canvas keeps its place beside the pictures, trimmed or whole."""

import importlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

RATE, CLICK = 16_000, 0.4  # Hz; seconds after the sound's own start


@pytest.fixture(scope="module")
def nodes(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.audio")


@pytest.fixture
def load(pack):
    """A VIDEO as Load Video gives it."""
    return importlib.import_module("comfy_api.latest").InputImpl.VideoFromFile


def write(path: Path, picture: float, sound: float) -> str:
    """A second of grey pictures and a second of sound with a click, each from its own start."""
    samples = np.zeros(RATE, np.int16)
    samples[round(CLICK * RATE)] = 30_000
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for index in range(25):
            shown = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8)).reformat(format="yuv420p")
            shown.pts, shown.time_base = index + round(picture * 25), Fraction(1, 25)
            container.mux(video.encode(shown))
        block = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        block.sample_rate, block.time_base, block.pts = RATE, Fraction(1, RATE), round(sound * RATE)
        container.mux([*video.encode(None), *audio.encode(block), *audio.encode(None)])
    return str(path)


def click_in(audio: dict) -> float:
    assert audio["waveform"].shape[:2] == (1, 1) and audio["sample_rate"] == RATE
    return int(audio["waveform"].abs().argmax()) / RATE


@pytest.mark.parametrize(("picture", "sound"), [(0.0, 0.4), (0.2, 0.0)], ids=["late sound", "late picture"])
def test_sound_keeps_its_place_beside_the_first_picture(picture, sound, nodes, load, tmp_path):
    audio = nodes.VideoVoice.execute(load(write(tmp_path / "a.mkv", picture, sound))).args[0]
    assert click_in(audio) == pytest.approx(CLICK + sound - picture, abs=0.001)
    assert audio["waveform"].shape[-1] == round((1 + sound - picture) * RATE)


def test_a_trimmed_video_gives_the_part_shown(nodes, load, tmp_path):
    whole = load(write(tmp_path / "a.mkv", 0.0, 0.2))
    if not hasattr(whole, "get_active_trim_window"):
        pytest.skip("this ComfyUI trims no VIDEO")
    audio = nodes.VideoVoice.execute(whole.as_trimmed(0.4, 0.4)).args[0]
    assert click_in(audio) == pytest.approx(CLICK + 0.2 - 0.4, abs=0.001)
    assert audio["waveform"].shape[-1] == round(0.4 * RATE)


def test_a_part_written_for_scoring_keeps_pictures_and_sound_together(pack, nodes, load, tmp_path):
    whole = load(write(tmp_path / "a.mkv", 0.0, 0.2))
    if not hasattr(whole, "get_active_trim_window"):
        pytest.skip("this ComfyUI trims no VIDEO")
    source = importlib.import_module(f"{pack.__name__}.nodes.host.video_source")
    (tmp_path / "copies").mkdir()
    copy = source.written_clip(whole.as_trimmed(0.4, 0.4), tmp_path / "copies")
    assert click_in(nodes.VideoVoice.execute(load(str(copy))).args[0]) == pytest.approx(CLICK + 0.2 - 0.4, abs=0.001)
    with av.open(str(copy)) as container:
        assert [frame.pts * frame.time_base for frame in container.decode(video=0)] == [
            Fraction(i, 25) for i in range(10)
        ]


def test_a_whole_video_is_read_where_it_lies(pack, load, tmp_path):
    source = importlib.import_module(f"{pack.__name__}.nodes.host.video_source")
    path = write(tmp_path / "a.mkv", 0.0, 0.0)
    assert source.clip_file(load(path)) == source.ClipFile(path)
