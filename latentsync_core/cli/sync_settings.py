"""The Settings that the options of ``sync`` make."""

import argparse
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

from .. import options as choices
from ..disk_cache import DiskCache, default_folder, default_limit, parse_limit
from ..errors import LatentSyncError
from ..models.catalog import models_directory
from ..models.students import student_lora, student_of
from ..options import EncodeSettings, FadeLimits, Guidance, Seam
from ..presets import DEFAULT_PRESET, NO_STUDENT, PRESETS, STUDENT_PRESET, Preset, find_preset, student_preset
from ..settings import Settings

log = logging.getLogger(__name__)


def settings_from(args: argparse.Namespace) -> Settings:
    """The run's Settings; raises LatentSyncError for values that cannot be."""
    preset, effort = chosen_presets(args)
    return Settings(
        **sampling_values(args, preset),
        resolution=parse_resolution(args.resolution),
        seed=args.seed,
        batch=parse_batch(args.windows_at_once),
        window=args.window,
        overlap=args.overlap,
        position=args.position,
        joins=args.joins,
        alignment=args.alignment,
        bbox_shift=args.bbox_shift,
        blend=args.blend,
        seam=Seam(parse_mask(args.mask), args.feather, args.grow, args.color_match),
        fade=FadeLimits(args.max_yaw, args.max_pitch, args.ease),
        silence=args.silence,
        audio_track=args.audio_track,
        offset=args.offset,
        face=args.face,
        missing=args.missing,
        sound=args.sound,
        length=args.length,
        extend=args.extend,
        rate=parse_rate(args.fps),
        encode=EncodeSettings(args.codec, args.crf, args.lossless, effort, args.audio_codec),
        cache=cache_from(args),
        overwrite=args.overwrite,
        resume=args.resume,
    )


def chosen_presets(args: argparse.Namespace) -> tuple[Preset, str]:
    """The preset of sampling, and the encoder's effort, which `--preset` named until 0.2.0."""
    if args.preset in choices.ENCODER_PRESETS and args.preset not in PRESETS:
        log.warning("--preset %s is the encoder's effort: it is now called --encoder-preset.", args.preset)
        return sampling_preset(args, None), args.preset
    return sampling_preset(args, args.preset), args.encoder_preset


def sampling_preset(args: argparse.Namespace, name: str | None) -> Preset:
    """The preset of that name; where none is named, or turbo, what a student was trained for, if there is one."""
    diffuses = args.generator == choices.GENERATORS[0]
    student = student_of(lora_from(args), args.checkpoint) if diffuses else None
    if student is not None and name in (None, STUDENT_PRESET):
        log.info("The model is %s.", student.describe())
        return student_preset(student)
    if diffuses and name == STUDENT_PRESET:
        log.warning(NO_STUDENT)
    return find_preset(name or DEFAULT_PRESET)


def lora_from(args: argparse.Namespace) -> Path | None:
    """The LoRA that is asked for: by name, or as the student that the preset turbo takes."""
    if args.lora is not None or args.preset != STUDENT_PRESET or args.generator != choices.GENERATORS[0]:
        return args.lora
    if student_of(None, args.checkpoint) is not None:
        return None  # it is a student itself
    return student_lora(args.checkpoint, models_directory(args.models))


def sampling_values(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """What the preset and the options that go before it say of Settings."""

    def chosen(name: str):
        given = getattr(args, name)
        return getattr(preset, name) if given is None else given

    null = preset.reuse_null if args.reuse is None and args.reuse_null is None else args.reuse_null
    guidance = Guidance(chosen("guidance"), args.guidance_rescale, args.guidance_start, args.guidance_end)
    return {
        "steps": chosen("steps"),
        "guidance": guidance,
        "solver": chosen("solver"),
        "reuse": chosen("reuse"),
        "reuse_null": null,
    }


def parse_resolution(text: str) -> int | None:
    """ "auto" is None; otherwise whole pixels."""
    if text == "auto":
        return None
    if not text.isdigit():
        raise LatentSyncError(f"--resolution is {text!r}; it must be auto or a number of pixels such as 256 or 512.")
    return int(text)


def parse_batch(text: str) -> int | str:
    """A number of windows, or the word "auto", which is left as it is."""
    return int(text) if text.isdigit() else text


def parse_mask(text: str) -> str | Path:
    """The name of a shape, or a user's picture."""
    return text if text in choices.MASKS else Path(text)


def parse_rate(text: str) -> Fraction | None:
    """ "source" is None; otherwise frames per second as 25, 29.97 or 30000/1001."""
    if text == "source":
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise LatentSyncError(f"--fps is {text!r}; it must be source or a rate up to 1000 such as 25 or 30000/1001.")
    return rate


def cache_from(args: argparse.Namespace) -> DiskCache | None:
    """What the run may find and leave on disk."""
    limit = default_limit() if args.cache_limit is None else parse_limit(args.cache_limit, "--cache-limit")
    return None if args.no_cache else DiskCache(args.cache or default_folder(), limit)
