"""The reference implementation's own classes, imported from its checkout without installing it.

Its modules import far more packages than the classes compared here use. So only the files that define them are loaded,
below packages that exist for the moment, and the one function they take from the rest is stood in for.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import LatentSyncError

ROOT = "latentsync"
PACKAGES = (ROOT, f"{ROOT}.models", f"{ROOT}.utils")
UNET, FACES = f"{ROOT}.models.unet", f"{ROOT}.utils.affine_transform"
PIP_NAMES = {  # module: what brings it
    "DeepCache": "DeepCache",
    "cv2": "opencv-python-headless",
    "kornia": "kornia kornia_rs",
    "kornia_rs": "kornia_rs",
}


def reference_unet(checkout: Path) -> type:
    """Its UNet3DConditionModel. Raises LatentSyncError where the folder is no checkout or a package is missing."""
    return import_from(checkout, UNET).UNet3DConditionModel


def reference_align_restore(checkout: Path) -> type:
    """Its AlignRestore, which needs OpenCV and kornia. Raises LatentSyncError as `reference_unet` does."""
    return import_from(checkout, FACES).AlignRestore


def deep_cache_helper() -> type:
    """DeepCacheSDHelper of the package DeepCache, which the reference's scripts switch on."""
    return import_or_refuse("DeepCache").DeepCacheSDHelper


def opencv() -> ModuleType:
    """OpenCV, with which the reference resizes its crops."""
    return import_or_refuse("cv2")


def import_from(checkout: Path, name: str) -> ModuleType:
    """The module `name` of the checkout."""
    file = checkout.joinpath(*name.split(".")).with_suffix(".py")
    if not file.is_file():
        raise LatentSyncError(
            f"{checkout} has no {file.relative_to(checkout)}; a checkout of the repository bytedance/LatentSync is "
            "needed."
        )
    with reference_packages(checkout):
        return import_or_refuse(name)


def import_or_refuse(name: str) -> ModuleType:
    """A module; LatentSyncError naming the package to install where it, or what it imports, is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).split(".")[0]
        raise LatentSyncError(
            f"The comparison needs the package {missing}, which this project does not: pip install --no-deps --target "
            f"FOLDER {PIP_NAMES.get(missing, missing)}, and set PYTHONPATH=FOLDER; or leave its part out by --parts."
        ) from error


@contextmanager
def reference_packages(checkout: Path) -> Iterator[None]:
    """Let the reference's modules be imported one by one; afterwards sys.modules is as before.

    Nothing is written into the checkout.
    """
    before = {name: module for name, module in sys.modules.items() if in_reference(name)}
    writes_no_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        for name in PACKAGES:
            package = sys.modules[name] = ModuleType(name)
            package.__path__ = [str(checkout.joinpath(*name.split(".")))]
        stand_in = sys.modules[f"{ROOT}.utils.util"] = ModuleType(f"{ROOT}.utils.util")
        stand_in.zero_rank_log = lambda *_: None  # all that the UNet takes of it: a log of loading
        yield
    finally:
        sys.dont_write_bytecode = writes_no_bytecode
        for name in [name for name in sys.modules if in_reference(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def in_reference(name: str) -> bool:
    """Whether a module's dotted name belongs to the reference."""
    return name.partition(".")[0] == ROOT
