"""The options of ``sync``, group by group; sync_settings.py makes Settings of them."""

import argparse
from pathlib import Path

from .. import options as choices
from ..disk_cache import DEFAULT_LIMIT_GB
from ..presets import DEFAULT_PRESET, PRESETS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Every option beside the files'."""
    add_generator_options(parser)
    add_model_options(parser)
    add_sampling_options(parser)
    add_face_options(parser)
    add_seam_options(parser)
    add_fading_options(parser)
    add_timing_options(parser)
    add_encoding_options(parser)


def add_generator_options(parser: argparse.ArgumentParser) -> None:
    """What redraws the mouth, and what only one kind of it has."""
    group = parser.add_argument_group("generator", "options that a generator has no use for are refused with it")
    group.add_argument(
        "--generator",
        default=choices.GENERATORS[0],
        choices=choices.GENERATORS,
        help="latentsync (diffusion over windows of frames), musetalk (one step for every frame, 256 pixels) or draft "
        "(moves the filmed lips, in any face, without a download, in real time) (default: %(default)s)",
    )
    group.add_argument(
        "--bbox-shift",
        type=int,
        default=0,
        metavar="PIXELS",
        help="of musetalk: how far below the bridge of the nose the middle of its crop lies, -9 to 9; above 0 the "
        "mouth opens more, below 0 less (default: %(default)s)",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which networks, where they are, and what they run on."""
    group = parser.add_argument_group("models")
    group.add_argument(
        "--checkpoint",
        help="UNet file, or 'embedded', which paints any face (default: the newest in the models folder)",
    )
    group.add_argument("--lora", type=Path, help="LoRA file of a training run, added to the UNet")
    group.add_argument("--lora-strength", type=float, default=1.0, help="how strongly (default: %(default)s)")
    group.add_argument("--models", type=Path, help="models folder (default: see `doctor`)")
    group.add_argument("--vae", type=Path, help="VAE file (default: from the models folder)")
    group.add_argument("--whisper", type=Path, help="Whisper file (default: from the models folder)")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, mps, ... (default: %(default)s)")
    group.add_argument("--precision", default="auto", choices=choices.PRECISIONS)
    group.add_argument(
        "--compile",
        default="off",
        choices=choices.COMPILING,
        help="on: torch.compile, which takes minutes at the first step and pays on a card for long clips; graphs: CUDA "
        "graphs as well; where it cannot run, the network runs as it is",
    )
    group.add_argument(
        "--cache",
        type=Path,
        help="folder in which voice features, face tracks and face latents are kept for the next run "
        "(default: $LATENTSYNC_CACHE, else the user's cache; see `doctor`)",
    )
    group.add_argument(
        "--cache-limit",
        metavar="GB",
        help=f"gigabytes it may take; what was not used for longest goes first "
        f"(default: $LATENTSYNC_CACHE_LIMIT, else {DEFAULT_LIMIT_GB:g})",
    )
    group.add_argument("--no-cache", action="store_true", help="neither use nor leave anything there")
    group.add_argument("--verbose", action="store_true", help="say more")


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """How the mouth is generated."""
    group = parser.add_argument_group("generation")
    group.add_argument(
        "--preset",
        metavar="NAME",
        help=f"steps, guidance, solver and reuse at once: {', '.join(PRESETS)} (default: what a student was trained "
        f"for, else {DEFAULT_PRESET}; see docs/SPEED.md); what is given by itself goes before it",
    )
    group.add_argument("--steps", type=int, help="denoising steps, 20 to 50 (default: the preset's)")
    group.add_argument("--guidance", type=float, help="the voice's strength, 1 to 3 (default: the preset's)")
    group.add_argument("--guidance-rescale", type=float, default=0.0, help="0 to 1 (default: %(default)s)")
    group.add_argument("--guidance-start", type=float, default=0.0, help="guide from this part of the schedule on")
    group.add_argument("--guidance-end", type=float, default=1.0, help="and up to this part")
    group.add_argument(
        "--seed", type=int, default=choices.DEFAULT_SEED, help="same seed, same file (default: %(default)s)"
    )
    group.add_argument("--solver", choices=choices.SOLVERS, help="(default: the preset's)")
    group.add_argument(
        "--reuse",
        type=int,
        metavar="N",
        help="run the whole UNet at every Nth step, reuse its deep features between; 3 takes less than half the time "
        "(default: the preset's)",
    )
    group.add_argument(
        "--reuse-null",
        type=int,
        metavar="N",
        help="the same for the prediction without the voice; twice --reuse is faster and, at a guidance of 1.5, closer "
        "to full steps (default: as --reuse, or the preset's)",
    )
    add_window_options(group)
    group.add_argument("--resolution", default="auto", help="face crop in pixels, or auto: as trained")
    add_fidelity_options(group)


def add_window_options(group) -> None:
    """How the clip is cut into windows; group: of the parser, to add them to."""
    group.add_argument(
        "--window", type=int, default=choices.WINDOW_FRAMES, help="frames denoised together, at most 24 (trained on 16)"
    )
    group.add_argument(
        "--overlap",
        type=int,
        default=choices.DEFAULT_OVERLAP,
        help="frames that neighbouring windows share and fuse; 4 of 16 take a third longer (default: %(default)s)",
    )
    group.add_argument(
        "--windows-at-once",
        default=choices.DEFAULT_BATCH,
        metavar="N",
        help="windows through the network at once: a number, or auto: as many as a CUDA device's memory holds, one "
        "elsewhere (default: %(default)s)",
    )


def add_fidelity_options(group) -> None:
    """Where the reference's behaviour may be chosen in place of a better one; group: of the parser, to add them to."""
    group.add_argument(
        "--position", default="auto", choices=choices.POSITIONS, help="audio position encoding; auto: as trained"
    )
    group.add_argument(
        "--joins", default="overlap", choices=choices.JOINS, help="how 30 s blocks of the voice are joined"
    )
    group.add_argument(
        "--alignment", default="smooth", choices=choices.ALIGNMENTS, help="how the face crop follows the face"
    )
    group.add_argument(
        "--blend",
        default="mouth",
        choices=choices.BLENDS,
        help="paste the lower face, or the whole crop",
    )


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Who speaks, and what becomes of frames without that face."""
    group = parser.add_argument_group("face")
    group.add_argument(
        "--face",
        default=choices.DEFAULT_FACE,
        metavar="WHO",
        help="auto (the largest and surest of each shot), largest, left, right, a number as `people` lists them, a "
        "point x,y, a box x0,y0,x1,y1 (pixels, or shares of the frame such as 0.25,0.5; @40 behind it: in frame 40, "
        "counted from 0), or a PNG with the face white",
    )
    group.add_argument(
        "--missing",
        default="pass",
        choices=choices.MISSING,
        help="frames without the face: pass untouched, hold the last known place, or stop before any work",
    )


def add_seam_options(parser: argparse.ArgumentParser) -> None:
    """How the generated mouth meets the frame."""
    group = parser.add_argument_group("seam", "of the mouth blend; lengths in percent of the face crop's side")
    group.add_argument(
        "--mask",
        default="fixed",
        help="what is pasted: fixed, as published; mesh, the face below the nose; or a grey picture as large as the "
        "video or of its proportions, black where nothing may change (default: %(default)s)",
    )
    group.add_argument(
        "--feather", type=float, default=choices.DEFAULT_FEATHER, help="softness of the edge (default: %(default)s)"
    )
    group.add_argument("--grow", type=float, default=0.0, help="widen the mask, below 0 shrink it")
    group.add_argument(
        "--color-match",
        default=choices.DEFAULT_COLOR_MATCH,
        choices=choices.COLOR_MATCHES,
        help="take on the colours around the mouth (default: %(default)s)",
    )


def add_fading_options(parser: argparse.ArgumentParser) -> None:
    """Where the effect fades out instead of painting a bad mouth."""
    group = parser.add_argument_group("fading")
    group.add_argument(
        "--max-yaw", type=float, default=choices.DEFAULT_YAW, help="degrees of turn to the side before it fades"
    )
    group.add_argument(
        "--max-pitch", type=float, default=choices.DEFAULT_PITCH, help="degrees up or down before it fades"
    )
    group.add_argument(
        "--ease", type=int, default=choices.DEFAULT_EASE, help="frames to come and go in where the face is lost"
    )


def add_timing_options(parser: argparse.ArgumentParser) -> None:
    """How long and how fast the result is."""
    group = parser.add_argument_group("timing")
    group.add_argument("--length", default="audio", choices=choices.LENGTHS, help="what the result lasts as long as")
    group.add_argument(
        "--extend",
        default="pingpong",
        choices=choices.EXTENSIONS,
        help="where the picture comes from when the voice is longer",
    )
    group.add_argument(
        "--silence",
        default="off",
        choices=choices.SILENCES,
        help="while nobody speaks: generate as ever, let the generated mouth rest, or keep the filmed one",
    )
    group.add_argument(
        "--offset", type=float, default=0.0, metavar="MS", help="move the mouth MS milliseconds later than the sound"
    )
    group.add_argument("--fps", default="source", help="source, 25 (as trained), or another rate such as 30000/1001")


def add_encoding_options(parser: argparse.ArgumentParser) -> None:
    """How the result is written."""
    group = parser.add_argument_group("encoding")
    group.add_argument("--codec", default="h264", choices=choices.CODECS)
    group.add_argument("--crf", type=int, default=choices.DEFAULT_CRF, help="0 (best) to 51 (default: %(default)s)")
    group.add_argument(
        "--encoder-preset",
        default="medium",
        help="x264's and x265's effort, to placebo (default: %(default)s)",
    )
    group.add_argument("--lossless", action="store_true", help="keep the source's pixel format and every sample")
    group.add_argument(
        "--sound",
        default="voice",
        choices=choices.SOUNDS,
        help="of the result: the voice, or a mix of it and the sound the video already has",
    )
    group.add_argument("--audio-codec", default="auto", choices=choices.AUDIO_CODECS)
