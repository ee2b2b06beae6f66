"""A real ComfyUI for the tests here: COMFYUI_PATH names its checkout, COMFYUI_PYTHON the interpreter it runs with."""

import os
import shutil
import sys
import wave
from fractions import Fraction
from pathlib import Path

import pytest

LOG_TAIL = 4000  # characters of the server's log shown with a failure
LOG_START = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The ComfyUI checkout."""
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    pytest.importorskip("aiohttp")
    path = Path(os.environ["COMFYUI_PATH"])
    assert (path / "main.py").is_file(), f"COMFYUI_PATH={path} has no main.py"
    return path


@pytest.fixture(scope="session")
def comfyui_python() -> str:
    """The interpreter that has ComfyUI's requirements."""
    return os.environ.get("COMFYUI_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def host(comfyui, comfyui_python, tmp_path_factory):
    """ComfyUI on a free port with this pack and tiny models, for the whole session."""
    from host_server import make_base, start_server

    base = make_base(tmp_path_factory.mktemp("host") / "base")
    with start_server(comfyui, comfyui_python, base, "--preview-method", "latent2rgb") as server:
        yield server


@pytest.fixture(scope="session")
def client(host):
    """Runs workflows on `host`."""
    from host_client import HostClient

    return HostClient(host)


@pytest.fixture(scope="session")
def object_info(client) -> dict:
    """Every node the server knows."""
    return client.get("/object_info")


@pytest.fixture(scope="session")
def short_clip(client, tmp_path_factory) -> str:
    """The demo clip's first 16 frames, in the server's input folder."""
    import av

    from latentsync_core.demo import CLIP
    from latentsync_core.media import VideoReader

    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with av.open(str(path), "w") as target, VideoReader(CLIP) as reader:
        stream = target.add_stream("libx264", rate=25, width=512, height=512, pix_fmt="yuv420p")
        for index, frame in enumerate(reader.frames(0, 16)):
            frame.picture.pts, frame.picture.time_base = index, Fraction(1, 25)
            target.mux(stream.encode(frame.picture))
        target.mux(stream.encode(None))
    return client.upload(path)


@pytest.fixture(scope="session")
def short_voice(client, tmp_path_factory) -> str:
    """The first 0.6 s of the demo's voice, in the server's input folder."""
    from latentsync_core.demo import VOICE

    path = tmp_path_factory.mktemp("voice") / "short.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(0.6 * source.getframerate())))
    return client.upload(path)


@pytest.fixture(scope="session")
def full_vae(host) -> str:
    """The name of a full-size VAE in the server's vae folder; what needs speed takes `host_server.FAST_VAE`."""
    from host_server import VAE, write_full_vae

    write_full_vae(host.base / "models" / "vae")
    return VAE


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium to look at the canvas with."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no chromium on PATH, and CHROMIUM names none")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    result = yield
    if "host" in getattr(item, "fixturenames", ()):
        item.stash[LOG_START] = len(item.funcargs["host"].log)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed and LOG_START in item.stash:
        since = item.funcargs["host"].log[item.stash[LOG_START] :]
        report.sections.append(("ComfyUI's log during this test", since[-LOG_TAIL:]))
    return report
