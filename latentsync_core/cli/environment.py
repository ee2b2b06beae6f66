"""What this machine has and lacks for a run: packages, devices, encoder, model files. Facts only; nothing is changed.

Every finding survives a broken installation: a package that fails to import is reported, not raised.
"""

import importlib
import importlib.metadata
import importlib.util
import platform
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..disk_cache import DiskCache, default_folder
from ..models.catalog import (
    CATALOGUE,
    MUSETALK_UNETS,
    UNETS,
    VAE_FT_MSE,
    WHISPER_TINY,
    ModelFile,
    find,
    identify_release,
    is_complete,
    nearest_existing,
    places,
)
from ..models.safetensors_header import read_header

PYTHON_MINIMUM = (3, 10)
FACE_WEIGHTS = Path(__file__).parents[1] / "faces" / "networks" / "weights"
FACE_NETWORKS = ("blazeface_full_range", "blazeface_short_range", "face_mesh")


@dataclass(frozen=True)
class Requirement:
    """A package a run needs. `probe` is what is imported from it: deep enough to meet a clash with its own needs.

    file: the one file of it that is used, where nothing is imported: what the package itself needs may then be missing.
    """

    distribution: str
    module: str
    minimum: str = ""
    probe: str = ""
    file: str = ""


REQUIREMENTS = (
    Requirement("torch", "torch", "2.1"),  # the host brings it, so requirements.txt does not list it
    Requirement("numpy", "numpy", "1.26"),
    Requirement("einops", "einops"),
    Requirement("safetensors", "safetensors"),
    Requirement("av", "av", "14.0"),
    Requirement("scipy", "scipy"),
    Requirement("tqdm", "tqdm"),
    Requirement("pillow", "PIL"),
    Requirement("diffusers", "diffusers", "0.30", probe="AutoencoderKL"),
    Requirement("openai-whisper", "whisper", "20231117", file="assets/mel_filters.npz"),
    Requirement("requests", "requests"),
)


@dataclass(frozen=True)
class PackageFinding:
    """status: "ok", "too old", "missing" or "broken"; `detail` says why an import failed."""

    distribution: str
    version: str | None
    minimum: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class DeviceFinding:
    """A device torch can use: kind "cuda", "mps" or "cpu"; memory in bytes where torch knows it."""

    kind: str
    name: str
    memory: int | None = None


@dataclass(frozen=True)
class VideoFinding:
    """What PyAV brought along."""

    ffmpeg: str
    libraries: dict[str, str]
    h264_encoder: bool  # libx264


@dataclass(frozen=True)
class ModelFinding:
    """One published file: status "complete", "wrong size" or "missing"."""

    target: str
    purpose: str
    expected_size: int
    page: str
    licence: str
    status: str
    path: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class CacheFinding:
    """What is kept between runs: where, how many results, their bytes, and how many bytes there may be."""

    folder: str
    entries: int
    size: int
    limit: int


@dataclass(frozen=True)
class Diagnosis:
    """Everything found, and the sentences that say what stands in the way of a run (none: ready)."""

    version: str
    python: str
    executable: str
    system: str
    packages: tuple[PackageFinding, ...]
    devices: tuple[DeviceFinding, ...]
    video: VideoFinding | None
    face_weights: tuple[str, ...]  # the networks whose weights are whole
    models_directory: str
    free_disk: int  # bytes, where the models folder is or would be
    models: tuple[ModelFinding, ...]
    unknown_unets: tuple[str, ...]  # files with a UNet's name that are neither release as published
    cache: CacheFinding
    problems: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether a run with published weights is possible."""
        return not self.problems


def diagnose(directory: Path) -> Diagnosis:
    """Look at this Python, its packages, its devices and the models folder `directory`. Opens no connection."""
    packages = tuple(examine_package(requirement) for requirement in REQUIREMENTS)
    usable = {package.distribution for package in packages if package.status in ("ok", "too old")}
    models = tuple(examine_model(model, directory) for model in CATALOGUE)
    face_weights = tuple(name for name in FACE_NETWORKS if is_whole_safetensors(FACE_WEIGHTS / f"{name}.safetensors"))
    video = examine_video() if "av" in usable else None
    return Diagnosis(
        version=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages=packages,
        devices=examine_devices() if "torch" in usable else (),
        video=video,
        face_weights=face_weights,
        models_directory=str(directory),
        free_disk=shutil.disk_usage(nearest_existing(directory)).free,
        models=models,
        unknown_unets=tuple(str(path) for path in unknown_unets(directory)),
        cache=examine_cache(),
        problems=tuple(problems(packages, models, face_weights, video)),
    )


def examine_package(requirement: Requirement) -> PackageFinding:
    """Import one package, or look for its one file that is used, and compare its version."""
    finding = {"distribution": requirement.distribution, "minimum": requirement.minimum}
    if importlib.util.find_spec(requirement.module) is None:
        return PackageFinding(version=None, status="missing", **finding)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = None if requirement.file else importlib.import_module(requirement.module)
            if requirement.probe:
                getattr(module, requirement.probe)
        if requirement.file:
            require_file(requirement)
        version = installed_version(requirement, module)
    except Exception as error:  # a broken package may raise anything; which is what is to be found out
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return PackageFinding(version=installed_version(requirement), status="broken", detail=reason, **finding)
    old = bool(requirement.minimum) and numbers(version) < numbers(requirement.minimum)
    return PackageFinding(version=version, status="too old" if old else "ok", **finding)


def require_file(requirement: Requirement) -> None:
    """Raise FileNotFoundError where the package, which is not imported, lacks the file that is used."""
    spec = importlib.util.find_spec(requirement.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not any((Path(folder) / requirement.file).is_file() for folder in folders):
        raise FileNotFoundError(f"no {requirement.file} in {', '.join(folders) or requirement.module}")


def installed_version(requirement: Requirement, module: object = None) -> str:
    """The version pip recorded, else the one the module states, else "unknown"."""
    try:
        return importlib.metadata.version(requirement.distribution)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", "unknown"))


def numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version, comparable: "2.13.0+cpu" -> (2, 13, 0); an unknown version counts as new."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else (sys.maxsize,)


def examine_devices() -> tuple[DeviceFinding, ...]:
    """What torch can run on, best first; the CPU is always there."""
    import torch

    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        found.append(DeviceFinding("cuda", properties.name, properties.total_memory))
    if torch.backends.mps.is_available():
        found.append(DeviceFinding("mps", "Apple GPU"))
    found.append(DeviceFinding("cpu", f"{cpu_name()}, {torch.get_num_threads()} threads"))
    return tuple(found)


def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", information.read_text(errors="replace"), re.MULTILINE)
        if match:
            return match[1]
    return platform.processor() or platform.machine()


def examine_video() -> VideoFinding:
    """PyAV's FFmpeg: its libraries, and whether the H.264 encoder is among them."""
    import av

    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    ffmpeg = getattr(av, "ffmpeg_version_info", "unknown")
    return VideoFinding(ffmpeg, libraries, "libx264" in av.codecs_available)


def examine_model(model: ModelFile, directory: Path) -> ModelFinding:
    """Where a published file is, if it is."""
    about = {
        "target": model.target,
        "purpose": model.purpose,
        "expected_size": model.size,
        "page": model.page,
        "licence": model.licence,
    }
    path = find(model, directory)
    if path is None:
        return ModelFinding(status="missing", **about)
    status = "complete" if is_complete(model, path) else "wrong size"
    return ModelFinding(status=status, path=str(path), size=path.stat().st_size, **about)


def examine_cache() -> CacheFinding:
    """The cache that is used unless a command names another."""
    cache = DiskCache(default_folder())
    entries, size = cache.size()
    return CacheFinding(str(cache.folder), entries, size, cache.limit)


def unknown_unets(directory: Path) -> list[Path]:
    """Files that bear a UNet's published name but are no release we know: cut short, or someone's own training."""
    return sorted({path for model in UNETS for path in places(model, directory) if identify_release(path) is None})


def is_whole_safetensors(path: Path) -> bool:
    """Whether the file is as long as its own header says: a checkout without its large files has stubs instead."""
    return path.is_file() and read_header(path) is not None


def problems(
    packages: tuple[PackageFinding, ...],
    models: tuple[ModelFinding, ...],
    face_weights: tuple[str, ...],
    video: VideoFinding | None,
) -> list[str]:
    """What stands in the way of a run, one sentence each; the UNet of any release and generator will do."""
    found = []
    if sys.version_info < PYTHON_MINIMUM:
        found.append(f"Python {'.'.join(map(str, PYTHON_MINIMUM))} or newer is needed.")
    for package in packages:
        if package.status == "too old":
            found.append(f"{package.distribution} {package.version} is older than {package.minimum}.")
        elif package.status != "ok":
            reason = f" ({package.detail})" if package.detail else ""
            found.append(f"{package.distribution} is {package.status}{reason}.")
    if video is not None and not video.h264_encoder:
        found.append("PyAV has no libx264, so no H.264 video can be written; reinstall av from PyPI.")
    if len(face_weights) < len(FACE_NETWORKS):
        missing = ", ".join(name for name in FACE_NETWORKS if name not in face_weights)
        found.append(f"The face networks' weights are not whole ({missing}); reinstall the package or pull its files.")
    complete = {model.target for model in models if model.status == "complete"}
    if not complete & {model.target for model in (*UNETS, *MUSETALK_UNETS)}:
        found.append("No complete LatentSync UNet was found (1.6 or 1.5), and none of MuseTalk.")
    for model in (WHISPER_TINY, VAE_FT_MSE):
        if model.target not in complete:
            found.append(f"No complete {model.name} was found ({model.purpose.split(':')[0]}).")
    return found
