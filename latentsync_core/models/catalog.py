"""The published model files: their names, their repositories, and where they are searched on this machine.

The layout mirrors ComfyUI's models folder, so that one copy serves both. The 1.5 and 1.6 releases publish their UNets
under one name; here each has a name of its own, and files kept in the upstream layout are found as well.
Sizes and hashes are the publishers' own (the Hub's LFS records at the pinned revisions). No connection is opened here.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import LatentSyncError
from .safetensors_header import METADATA_PREFIX, read_header

HUB = "https://huggingface.co"
MODELS_VARIABLE = "LATENTSYNC_MODELS"
SOURCE_SHA256 = METADATA_PREFIX + "source_sha256"  # in an fp16 copy's header: of the published file it was made of
EMBEDDED_NAME = "embedded micro model (it really speaks, but knows one portrait only)"
NATIVE_RESOLUTION = {"1.5": 256, "1.6": 512}  # pixels, the side of the face crop each release was trained on


@dataclass(frozen=True)
class ModelFile:
    """One published file: its location on the Hub and its path below the models folder."""

    name: str  # file name on this machine
    folder: str  # below the models folder
    purpose: str
    repo_id: str
    revision: str  # commit, so that the bytes never change
    filename: str  # path inside the Hub repository
    size: int  # bytes
    sha256: str
    licence: str
    other_places: tuple[str, ...] = ()  # further paths below the models folder where users keep it
    release: str | None = None  # of a LatentSync UNet, "1.5" or "1.6": both are published under one name
    fp16_name: str | None = None  # of its safetensors copy in half the size, see models/fp16_copy.py

    @property
    def target(self) -> str:
        """The file's path below the models folder, with forward slashes."""
        return f"{self.folder}/{self.name}"

    @property
    def fp16_target(self) -> str | None:
        """Its fp16 copy's path below the models folder; None where there is no such copy."""
        return f"{self.folder}/{self.fp16_name}" if self.fp16_name else None

    @property
    def page(self) -> str:
        """The URL of the file's page, for a browser."""
        return f"{HUB}/{self.repo_id}/blob/main/{self.filename}"


UNET_PLACES = tuple(
    folder + "latentsync_unet.pt"
    for folder in ("latentsync/", "", "checkpoints/", "latentsync/checkpoints/", "checkpoints/latentsync/")
)
HUB_FOLDERS = {  # a repository copied whole keeps the release in its folder's name
    release: tuple(f"{parent}LatentSync-{release}/latentsync_unet.pt" for parent in ("latentsync/", "checkpoints/", ""))
    for release in NATIVE_RESOLUTION
}

UNET_1_6 = ModelFile(
    name="latentsync_unet_1.6.pt",
    folder="latentsync",
    purpose="LatentSync 1.6 UNet, 512 px: sharper",
    repo_id="ByteDance/LatentSync-1.6",
    revision="c42c7e6c8e9c213626389fa7d9a3c444b8536353",
    filename="latentsync_unet.pt",
    size=5_072_222_488,
    sha256="0a478e89eb660f82da4c35dbdde8a5adfb27f99d1b4e50edd03729e1e98316d3",
    licence="CreativeML Open RAIL++-M",
    other_places=UNET_PLACES + HUB_FOLDERS["1.6"],
    release="1.6",
    fp16_name="latentsync_unet_1.6_fp16.safetensors",
)
UNET_1_5 = ModelFile(
    name="latentsync_unet_1.5.pt",
    folder="latentsync",
    purpose="LatentSync 1.5 UNet, 256 px: leaner",
    repo_id="ByteDance/LatentSync-1.5",
    revision="32a20d29aead0498e3e885e90dbbe8027da1b61b",
    filename="latentsync_unet.pt",
    size=5_072_348_184,
    sha256="6440b49a7ccceff56cdc001f5f17605216337f5bbd66fa360139768926e23f51",
    licence="CreativeML Open RAIL++-M",
    other_places=UNET_PLACES + HUB_FOLDERS["1.5"],
    release="1.5",
    fp16_name="latentsync_unet_1.5_fp16.safetensors",
)
MUSETALK_FOLDERS = ("", "musetalk/", "MuseTalk/", "checkpoints/")  # below which its repository's own layout is kept
MUSETALK_1_5 = ModelFile(
    name="musetalk_1.5.pth",
    folder="latentsync",
    purpose="MuseTalk 1.5 UNet, one step",
    repo_id="TMElyralab/MuseTalk",
    revision="3ef28bc5cff08c90ad8178a25f1b570cd800170f",
    filename="musetalkV15/unet.pth",
    size=3_400_074_924,
    sha256="7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007",
    licence="CreativeML Open RAIL-M",
    other_places=tuple(folder + "musetalkV15/unet.pth" for folder in MUSETALK_FOLDERS),
    fp16_name="musetalk_1.5_fp16.safetensors",
)
MUSETALK_1_0 = ModelFile(
    name="musetalk_1.0.bin",
    folder="latentsync",
    purpose="MuseTalk 1.0 UNet, one step",
    repo_id="TMElyralab/MuseTalk",
    revision="3ef28bc5cff08c90ad8178a25f1b570cd800170f",
    filename="musetalk/pytorch_model.bin",
    size=3_400_076_549,
    sha256="0ee7d5ea03ea75d8dca50ea7a76df791e90633687a135c4a69393abfc0475ffe",
    licence="CreativeML Open RAIL-M",
    other_places=tuple(folder + "musetalk/pytorch_model.bin" for folder in MUSETALK_FOLDERS),
    fp16_name="musetalk_1.0_fp16.safetensors",
)
WHISPER_TINY = ModelFile(
    name="whisper_tiny.pt",
    folder="latentsync",
    purpose="Whisper tiny: the voice as audio features",
    repo_id="ByteDance/LatentSync-1.6",
    revision="c42c7e6c8e9c213626389fa7d9a3c444b8536353",
    filename="whisper/tiny.pt",
    size=75_572_083,
    sha256="65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",  # also OpenAI's own
    licence="MIT",
    other_places=(
        "latentsync/whisper/tiny.pt",
        "whisper/tiny.pt",
        "checkpoints/whisper/tiny.pt",
        "latentsync/tiny.pt",
        "latentsync/checkpoints/whisper/tiny.pt",
        "checkpoints/latentsync/whisper/tiny.pt",
    ),
)
VAE_FT_MSE = ModelFile(
    name="sd-vae-ft-mse.safetensors",
    folder="vae",
    purpose="Stable Diffusion VAE: pixels and latents",
    repo_id="stabilityai/sd-vae-ft-mse",
    revision="31f26fdeee1355a5c34592e401dd41e45d25a493",
    filename="diffusion_pytorch_model.safetensors",
    size=334_643_276,
    sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
    licence="MIT",
    other_places=tuple(
        folder + "diffusion_pytorch_model.safetensors"
        for folder in (
            "vae/sd-vae-ft-mse/",
            "sd-vae-ft-mse/",
            "stabilityai/sd-vae-ft-mse/",
            "latentsync/vae/",
            "latentsync/sd-vae-ft-mse/",
            "checkpoints/vae/",
            "checkpoints/stabilityai/sd-vae-ft-mse/",
        )
    ),
)
SYNCNET_V2 = ModelFile(
    name="syncnet_v2.model",
    folder="latentsync",
    purpose="SyncNet v2: for score only",
    repo_id="ByteDance/LatentSync-1.5",  # where LatentSync's own evaluation fetches it
    revision="32a20d29aead0498e3e885e90dbbe8027da1b61b",
    filename="auxiliary/syncnet_v2.model",
    size=54_573_114,
    sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",  # also the Oxford group's own
    licence="stated by neither of its publishers; the repository is CreativeML Open RAIL++-M",
    other_places=tuple(
        folder + "syncnet_v2.model"
        for folder in (
            "",
            "auxiliary/",
            "latentsync/auxiliary/",
            "checkpoints/auxiliary/",
            "latentsync/checkpoints/auxiliary/",
            "checkpoints/latentsync/auxiliary/",
        )
    ),
)
STABLE_SYNCNET = ModelFile(
    name="stable_syncnet.pt",
    folder="latentsync",
    purpose="StableSyncNet: for score and training only",
    repo_id="ByteDance/LatentSync-1.6",
    revision="c42c7e6c8e9c213626389fa7d9a3c444b8536353",
    filename="stable_syncnet.pt",
    size=1_605_328_746,
    sha256="77678d13861a02d6e83d0b169962175b6266be773f1f6f85fda2b0182e225118",
    licence="CreativeML Open RAIL++-M",
    other_places=("stable_syncnet.pt", "checkpoints/stable_syncnet.pt", "latentsync/checkpoints/stable_syncnet.pt"),
)

UNETS = (UNET_1_6, UNET_1_5)
MUSETALK_UNETS = (MUSETALK_1_5, MUSETALK_1_0)
CATALOGUE = (UNET_1_6, UNET_1_5, MUSETALK_1_5, MUSETALK_1_0, WHISPER_TINY, VAE_FT_MSE, SYNCNET_V2, STABLE_SYNCNET)
DOWNLOADS = {
    "1.6": (UNET_1_6, WHISPER_TINY, VAE_FT_MSE),
    "1.5": (UNET_1_5, WHISPER_TINY, VAE_FT_MSE),
    "musetalk": (MUSETALK_1_5, WHISPER_TINY, VAE_FT_MSE),
    "musetalk-1.0": (MUSETALK_1_0, WHISPER_TINY, VAE_FT_MSE),
    "score": (SYNCNET_V2,),
    "syncnet": (SYNCNET_V2, STABLE_SYNCNET),
    "all": CATALOGUE,
}
"""What ``download`` can be asked for: all that one release needs, the sync networks, or everything."""


def models_directory(explicit: str | Path | None = None) -> Path:
    """The models folder: `explicit`, else $LATENTSYNC_MODELS, else ./models if it exists, else the user's data folder.

    The folder need not exist; nothing is created.
    """
    if explicit:
        return Path(explicit).expanduser()
    if os.environ.get(MODELS_VARIABLE):
        return Path(os.environ[MODELS_VARIABLE]).expanduser()
    here = Path.cwd() / "models"
    return here if here.is_dir() else user_data_directory() / "latentsync" / "models"


def user_data_directory() -> Path:
    """Where this platform keeps a user's application data."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def nearest_existing(path: Path) -> Path:
    """`path`, or the closest folder above it that exists."""
    return next((place for place in (path, *path.absolute().parents) if place.exists()), Path.cwd())


def published_places(model: ModelFile, directory: Path) -> Iterator[Path]:
    """Every existing file below `directory` under one of the paths of `model`, the canonical one first."""
    for relative in (model.target, *model.other_places):
        path = directory / relative
        if path.is_file():
            yield path


def places(model: ModelFile, directory: Path) -> Iterator[Path]:
    """Every existing file of `model` below `directory`: as published, then its fp16 copy."""
    yield from published_places(model, directory)
    if model.fp16_target and (directory / model.fp16_target).is_file():
        yield directory / model.fp16_target


def find(model: ModelFile, directory: str | Path) -> Path | None:
    """The file of `model` below the models folder `directory`, under its own name or in the upstream layout.

    A UNet counts only if it is identified as this release. ``is_complete`` says whether the file is
    whole.
    """
    for path in places(model, Path(directory)):
        if model.release is None or identify_release(path) == model.release:
            return path
    return None


def newest_unet(directory: str | Path) -> Path | None:
    """The newest published LatentSync UNet in the models folder; None where there is none."""
    return next((path for model in UNETS if (path := find(model, directory))), None)


def check_model_file(path: Path) -> None:
    """Raise LatentSyncError unless `path` is a plain file this user may read; what is in it is another question."""
    needed = "a model file (.pt or .safetensors) is needed here"
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):  # opening a pipe could block for ever
            open(path, "rb").close()
    except FileNotFoundError as error:
        raise LatentSyncError(f"{path} does not exist; {needed}.") from error
    except (OSError, ValueError) as error:  # not permitted, a loop of links, a name no file can have
        reason = getattr(error, "strerror", None) or error
        raise LatentSyncError(f"{path} cannot be opened ({reason}); {needed}.") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise LatentSyncError(f"{path} is {what}; {needed}.")


def is_complete(model: ModelFile, path: Path) -> bool:
    """Whether the file at `path` has the size of `model` as published, or is its fp16 copy; half a file is neither."""
    return path.stat().st_size == model.size or is_fp16_copy(model, path)


def is_fp16_copy(model: ModelFile, path: Path) -> bool:
    """Whether the file at `path` is whole, and records that it was made of the published file of `model`."""
    if model.fp16_name is None or path.suffix != ".safetensors":
        return False
    header = read_header(path) or {}
    return header.get("__metadata__", {}).get(SOURCE_SHA256) == model.sha256


RELEASE_IN_NAME = re.compile(r"(?<!\d)1[._]([56])(?!\d)")
RELEASE_IN_FOLDER = re.compile(r"latentsync[-_ ]?v?1[._]([56])(?!\d)", re.IGNORECASE)


def identify_release(path: str | Path) -> str | None:
    """Which release a UNet file is, "1.5" or "1.6", or None where it cannot be told.

    The shapes of both are equal, but the published files differ in size by 126 KB: that decides for a file as
    published. For a converted or renamed one its name decides ("...1.6..."), then the nearest folder called
    after a release ("LatentSync-1.6"). NATIVE_RESOLUTION gives the crop size that goes with the answer.
    """
    path = Path(path)
    if path.is_file():
        size = path.stat().st_size
        for model in UNETS:
            if size == model.size:
                return model.release
    matches = [RELEASE_IN_NAME.search(path.stem)] + [RELEASE_IN_FOLDER.search(p.name) for p in path.absolute().parents]
    return next((f"1.{match[1]}" for match in matches if match), None)


MUSETALK_RELEASE = re.compile(r"musetalk[-_ ]?v?1[._]?([05])(?!\d)", re.IGNORECASE)


def identify_musetalk(path: str | Path) -> str | None:
    """Which release a MuseTalk UNet file is, "1.0" or "1.5", or None where it cannot be told.

    The published size decides, else the name of the file or the nearest folder called after a release
    ("musetalk_1.5.pth", "musetalkV15"), else the name under which it was published.
    """
    path = Path(path)
    size = path.stat().st_size if path.is_file() else None
    releases = {"1.5": MUSETALK_1_5, "1.0": MUSETALK_1_0}
    by_size = next((release for release, model in releases.items() if model.size == size), None)
    matches = [MUSETALK_RELEASE.search(name) for name in (path.stem, *(p.name for p in path.absolute().parents))]
    by_name = next((f"1.{match[1]}" for match in matches if match), None)
    published = next((release for release, model in releases.items() if Path(model.filename).name == path.name), None)
    return by_size or by_name or published
