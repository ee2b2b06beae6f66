"""A ComfyUI of the tests' own: its base folder with this pack and tiny models, its process, its log."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import save_file
from seeded import NARROW_UNET, seed_weights
from tiny_musetalk import write_musetalk

from latentsync_core.models.embedded import WHISPER as EMBEDDED_WHISPER
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig, save_unet
from latentsync_core.models.vae import SD_SHAPE

CHECKOUT = Path(__file__).parents[2]
PACK = "latentsync"  # the pack's folder below custom_nodes
UNET, WHISPER, VAE = "narrow_unet.safetensors", "tiny_whisper.pt", "seeded_vae.safetensors"
MUSETALK = "tiny_musetalk_1.5.safetensors"
FAST_VAE = "taesd"  # what the stock VAE loader calls the pair in models/vae_approx
FOLDERS = ("custom_nodes", "models", "input", "output", "user", "temp")
START_SECONDS = 300


@dataclass(frozen=True)
class HostServer:
    """A running ComfyUI: where it answers, where its folders are, what it logs."""

    address: str
    base: Path
    log_file: Path

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return self.log_file.read_text(errors="replace")


def make_base(base: Path) -> Path:
    """Lay out a base folder: this checkout as a custom node pack, and models small enough for any machine."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True)
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "tests", "shared")
    shutil.copytree(CHECKOUT, base / "custom_nodes" / PACK, ignore=unwanted)
    write_latentsync_models(base / "models" / "latentsync")
    write_fast_vae(base / "models" / "vae_approx")
    return base


def write_latentsync_models(folder: Path) -> None:
    """Narrow UNets and the embedded Whisper encoder in the layouts in which the published ones come."""
    folder.mkdir(parents=True)
    whisper = read_tensors(EMBEDDED_WHISPER)
    shape = UNetConfig.from_dict({**NARROW_UNET, "cross_attention_dim": whisper.mapping("dims")["n_audio_state"]})
    unet = seed_weights(UNet3DConditionModel(shape), prefix="host.unet.")
    save_unet(unet, folder / UNET, {"resolution": "128", "position_encoding": "off"})
    write_musetalk(folder / MUSETALK)
    tensors = {f"encoder.{name}": tensor for name, tensor in whisper.tensors.items()}
    torch.save({"dims": whisper.mapping("dims"), "model_state_dict": tensors}, folder / WHISPER)


def write_fast_vae(folder: Path) -> None:
    """An untrained TAESD, the one autoencoder of Stable Diffusion's latents that stock ComfyUI loads and is small."""
    folder.mkdir(parents=True)
    parts = {"encoder": {}, "decoder": {}}
    for name, tensor in seed_weights(AutoencoderTiny(), prefix="host.taesd.").state_dict().items():
        part, _, index, kind = name.split(".", 3)
        # diffusers clamps in forward what the original does in a layer of its own, the decoder's first.
        parts[part][f"{int(index) + (part == 'decoder')}.{kind}"] = tensor
    for part, tensors in parts.items():
        save_file(tensors, folder / f"taesd_{part}.safetensors")


def write_full_vae(folder: Path) -> None:
    """A seeded Stable Diffusion VAE of the only size that stock ComfyUI builds, 167 MB in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    vae = seed_weights(AutoencoderKL(**SD_SHAPE), prefix="host.vae.").half()
    save_file(vae.state_dict(), folder / VAE)


@contextmanager
def start_server(
    comfyui: Path,
    python: str,
    base: Path,
    *flags: str,
    offline: bool = True,
    environment: Mapping[str, str] = {},  # noqa: B006 (only read)
) -> Iterator[HostServer]:
    """Run ComfyUI on the CPU with `base` as its base folder until the block ends.

    offline: as --disable-api-nodes makes it. environment: further variables of the process.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host = HostServer(f"http://127.0.0.1:{port}", base, base / "comfyui.log")
    options = ("--port", str(port), "--base-directory", str(base), "--database-url", "sqlite:///:memory:")
    kept_offline = ["--disable-api-nodes"] if offline else []
    command = [python, "main.py", "--cpu", *options, *kept_offline, *flags]
    own = {**os.environ, "LATENTSYNC_CACHE": str(base / "cache"), **environment}
    with host.log_file.open("ab") as log:
        process = subprocess.Popen(command, cwd=comfyui, env=own, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_up(host, process)
        yield host
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it hangs where no signal arrives
            process.kill()
            process.wait()


def wait_until_up(host: HostServer, process: subprocess.Popen) -> None:
    """Return when the server answers; RuntimeError with its log when it ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{host.address}/system_stats", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"ComfyUI did not come up (exit code {process.poll()}); its log ends:\n{host.log[-3000:]}")
