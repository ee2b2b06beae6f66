"""``doctor``: is everything here that a run needs, and if not, which command brings it."""

import argparse
import dataclasses
import json
import shlex
import sys

from ..models.catalog import (
    MUSETALK_1_0,
    MUSETALK_1_5,
    MUSETALK_UNETS,
    UNET_1_5,
    UNET_1_6,
    UNETS,
    VAE_FT_MSE,
    WHISPER_TINY,
    models_directory,
)
from .environment import (
    FACE_NETWORKS,
    CacheFinding,
    DeviceFinding,
    Diagnosis,
    ModelFinding,
    PackageFinding,
    diagnose,
)

RELEASES = {"1.6": UNET_1_6, "1.5": UNET_1_5, "musetalk": MUSETALK_1_5, "musetalk-1.0": MUSETALK_1_0}
"""What ``download`` is asked for where one of these is here already, the first that is."""
MARKS = {"ok": "ok", "complete": "ok", "too old": "OLD", "missing": "--", "broken": "BAD", "wrong size": "BAD"}


def add_parser(subparsers) -> None:
    """Describe ``doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="check packages, devices and model files; says which command fixes what is missing",
        description="Check packages, devices and model files. Exit code 0: a run with published weights is possible.",
    )
    parser.add_argument("--models", metavar="DIR", help="models folder (default: $LATENTSYNC_MODELS, ./models, ...)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when a run is possible, 1 when something needed is missing."""
    diagnosis = diagnose(models_directory(args.models))
    if args.json:
        print(json.dumps({**dataclasses.asdict(diagnosis), "ready": diagnosis.ready}, indent=2))
    else:
        print("\n".join(report(diagnosis, args.models)))
    return 0 if diagnosis.ready else 1


def report(diagnosis: Diagnosis, models_argument: str | None) -> list[str]:
    """The findings as lines for a terminal."""
    video = diagnosis.video
    lines = [f"LatentSync {diagnosis.version}, Python {diagnosis.python}, {diagnosis.system}", "", "Packages"]
    lines += [package_line(package) for package in diagnosis.packages]
    lines += ["", "Devices"] + ([device_line(device) for device in diagnosis.devices] or [row("--", "no torch")])
    if video:
        encoder = "H.264 encoder libx264" if video.h264_encoder else "no H.264 encoder libx264"
        libraries = ", ".join(f"{name[3:]} {video.libraries[name]}" for name in ("libavcodec", "libavformat"))
        mark = "ok" if video.h264_encoder else "--"
        lines += ["", "Video", row(mark, f"FFmpeg {video.ffmpeg} inside PyAV ({libraries}), {encoder}")]
    count = len(diagnosis.face_weights)
    lines += ["", "Face networks", row("ok" if count == 3 else "--", f"{count} of 3 weight files in the package")]
    lines += ["", f"Model files in {diagnosis.models_directory} ({diagnosis.free_disk / 1e9:.1f} GB free)"]
    for model in diagnosis.models:
        lines += model_lines(model)
    lines += [row("?", f"{path}: neither 1.5 nor 1.6 as published") for path in diagnosis.unknown_unets]
    lines += ["", "Cache", *cache_lines(diagnosis.cache)]
    return lines + [""] + verdict(diagnosis, models_argument)


def row(mark: str, text: str) -> str:
    """One finding: a mark in a column of its own, then the text."""
    return f"  {mark:<3} {text}"


def package_line(package: PackageFinding) -> str:
    """Name, version, and what is wrong with it."""
    wrong = f"{package.minimum} or newer is needed" if package.status == "too old" else package.detail[:60]
    return row(MARKS[package.status], f"{package.distribution:<15} {package.version or '-':<14} {wrong}".rstrip())


def device_line(device: DeviceFinding) -> str:
    """Kind, name and memory."""
    memory = f", {device.memory / 1e9:.1f} GB" if device.memory else ""
    return row("ok", f"{device.kind:<5} {device.name}{memory}")


def model_lines(model: ModelFinding) -> list[str]:
    """One line for a file that is there; two more for one that is not: what it is for, and its home."""
    lines = [row(MARKS[model.status], f"{model.target:<35} {size_text(model.expected_size):>8}  {model.purpose}")]
    if model.status == "complete" and not model.path.replace("\\", "/").endswith(model.target):
        lines.append(row("", f"at {model.path}"))
    if model.status == "wrong size":
        lines.append(row("", f"{model.path} has {model.size:,} of {model.expected_size:,} bytes: not as published"))
    if model.status != "complete":
        lines.append(row("", model.page))
    return lines


def cache_lines(cache: CacheFinding) -> list[str]:
    """Where results are kept between runs, how large they are, and how to be rid of them."""
    held = f"{size_text(cache.size)} of at most {size_text(cache.limit)}, {cache.entries} results"
    return [row("ok", held), row("", f"in {cache.folder}; to empty it, remove that folder")]


def size_text(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def verdict(diagnosis: Diagnosis, models_argument: str | None) -> list[str]:
    """Ready, and for which generator, or what stands in the way and the commands that clear it."""
    if diagnosis.ready:
        has_latentsync = complete_files(diagnosis) & {unet.target for unet in UNETS}
        return ["Ready." if has_latentsync else "Ready for --generator musetalk; LatentSync's own UNet is not here."]
    reasons = [f"  - {problem}" for problem in diagnosis.problems]
    lines = ["Not ready for a run with published weights:", *reasons, *remedies(diagnosis, models_argument)]
    faces = len(diagnosis.face_weights) == len(FACE_NETWORKS)
    drafts = faces and all(package.status == "ok" for package in diagnosis.packages)
    return [*lines, "", "Without them, ready for any face: sync --generator draft"] if drafts else lines


def remedies(diagnosis: Diagnosis, models_argument: str | None) -> list[str]:
    """The exact commands, for this Python and this models folder."""
    python = shlex.quote(diagnosis.executable) if sys.platform != "win32" else f'"{diagnosis.executable}"'
    failing = [package for package in diagnosis.packages if package.status != "ok"]
    lines = []
    wanted = [f'"{p.distribution}>={p.minimum}"' if p.minimum else p.distribution for p in failing]
    if wanted:
        force = " --force-reinstall --no-deps" if all(p.status == "broken" for p in failing) else ""
        lines += ["", "Packages:", f"  {python} -m pip install --upgrade{force} {' '.join(wanted)}"]
    complete = complete_files(diagnosis)
    unets = {unet.target for unet in (*UNETS, *MUSETALK_UNETS)}
    if not complete & unets or not {WHISPER_TINY.target, VAE_FT_MSE.target} <= complete:
        release = next((name for name, unet in RELEASES.items() if unet.target in complete), "1.6")
        folder = f" --models {shlex.quote(models_argument)}" if models_argument else ""
        lines += ["", "Model files:", f"  {python} -m latentsync_core download {release}{folder}"]
    return lines


def complete_files(diagnosis: Diagnosis) -> set[str]:
    """The published files that are here as a whole, by their place below the models folder."""
    return {model.target for model in diagnosis.models if model.status == "complete"}
