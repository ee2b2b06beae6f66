"""A VIDEO is read where it lies, whatever its codec, trimmed or whole; temporary files go with what needed them."""

import gc
import importlib
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

FPS, FRAMES = 25, 20
FILES = {
    "vp8": ("a.webm", "libvpx", "yuv420p"),
    "prores": ("a.mov", "prores_ks", "yuv422p10le"),
    "gif": ("a.gif", "gif", "rgb8"),
}


@pytest.fixture(scope="module")
def source(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.host.video_source")


@pytest.fixture(scope="module")
def errors(pack):
    return importlib.import_module(f"{pack.__name__}.latentsync_core.errors")


@pytest.fixture(scope="module")
def latest(pack):
    return importlib.import_module("comfy_api.latest")


@pytest.fixture
def load(latest):
    """A VIDEO as Load Video gives it."""
    return latest.InputImpl.VideoFromFile


def write(path: Path, codec: str, pixel_format: str) -> str:
    """Grey pictures, each brighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, width=64, height=48, pix_fmt=pixel_format)
        for index in range(FRAMES):
            shown = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 + 10 * index, np.uint8))
            shown = shown.reformat(format=pixel_format)
            shown.pts, shown.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return str(path)


def greys(source, video) -> list[float]:
    """The mean of every picture that Face Track gets to see, in grey levels."""
    with source.open_clip(video, None, Fraction(FPS))() as reader:
        return [float(frame.rgb().mean()) for frame in reader.frames()]


def temporary(pack) -> list[str]:
    """The names of what the pack has in the host's temp folder."""
    folder = Path(importlib.import_module("folder_paths").get_temp_directory())
    return sorted(path.name for path in folder.glob("latentsync_*")) if folder.is_dir() else []


@pytest.fixture
def nothing_left(pack):
    """Whatever the test writes into the temp folder is gone with it."""
    before = temporary(pack)
    yield
    gc.collect()
    assert temporary(pack) == before


@pytest.mark.parametrize("kind", FILES)
def test_any_codec_is_read_without_a_copy(kind, source, load, pack, tmp_path):
    name, codec, pixel_format = FILES[kind]
    video = load(write(tmp_path / name, codec, pixel_format))
    before = temporary(pack)
    whole = greys(source, video)
    assert len(whole) == FRAMES and np.all(np.diff(whole) > 4)
    if hasattr(video, "get_active_trim_window"):
        assert greys(source, video.as_trimmed(0.2, 0.4)) == whole[5:15]
        assert greys(source, video.as_trimmed(-0.4)) == whole[10:]
    assert temporary(pack) == before


def test_what_is_no_video_is_refused_in_a_sentence(source, load, errors, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("not a video")
    with pytest.raises(errors.LatentSyncError, match="a video file is needed"):
        greys(source, load(str(path)))


@pytest.mark.usefixtures("nothing_left")
def test_created_from_images_it_is_those_images(source, latest, load, pack):
    temporary_folder = importlib.import_module(f"{pack.__name__}.nodes.host.folders").temporary_folder
    images = torch.linspace(0.1, 0.9, 6)[:, None, None, None].expand(6, 31, 33, 3)  # odd sides, which H.264 refuses
    audio = {"waveform": torch.ones(1, 1, 1600) / 2, "sample_rate": 16_000}
    components = latest.Types.VideoComponents(images=images, audio=audio, frame_rate=Fraction(12))
    video = latest.InputImpl.VideoFromComponents(components)
    assert greys(source, video) == pytest.approx([float(v) * 255 for v in torch.linspace(0.1, 0.9, 6)], abs=0.6)
    assert torch.equal(source.video_sound(video, "")["waveform"], audio["waveform"])
    with temporary_folder() as folder:
        copy = load(str(source.written_clip(video, folder)))
        assert greys(source, copy) == greys(source, video)
        assert torch.equal(source.video_sound(copy, "")["waveform"][..., :1600], audio["waveform"])


@pytest.mark.usefixtures("nothing_left")
def test_bytes_in_memory_lie_in_a_file_while_they_are_read(source, load, pack, tmp_path):
    content = io.BytesIO(Path(write(tmp_path / "a.webm", "libvpx", "yuv420p")).read_bytes())
    assert len(greys(source, load(content))) == FRAMES


def test_a_result_stays_as_long_as_a_video_shows_it(source, load, pack, tmp_path):
    name = source.temporary_file(".mkv")
    write(Path(name), "ffv1", "yuv420p")
    result = importlib.import_module(f"{pack.__name__}.nodes.host.video").video_from_file(name)
    path = Path(str(name))
    if hasattr(result, "as_trimmed"):
        trimmed = result.as_trimmed(0.2, 0.4)
        del name, result
        gc.collect()
        assert len(greys(source, trimmed)) == 10
        del trimmed
    else:
        del name
        gc.collect()
        assert len(greys(source, result)) == FRAMES
        del result
    gc.collect()
    assert not path.exists()
