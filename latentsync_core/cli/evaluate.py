"""``evaluate``: evidence that a model speaks, and which way of training it makes it speak."""

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import LatentSyncError
from ..models.students import student_of
from ..options import DEFAULT_SEED, DEFAULT_STEPS, GENERATORS, SOLVERS
from ..presets import PRESETS, STUDENT_PRESET
from ..progress import Callbacks
from ..student import DISTILLED_SCALE
from .first_checks import announce, check_inputs, check_model_files
from .sync_options import add_model_options
from .terminal import StageBars, show_log

DESCRIPTION = """Dub drawn clips with voices never trained on and compare the mouth, as the face mesh sees it in the
written file, with the known truth: for one model, or, with --train, for every way of training in turn. With --recorded,
dub them with recorded sentences instead and ask whether the lips do what the phones ask."""
GUIDANCES = (1.5, 1.0, 2.0, 3.0)
MUSETALK_POSITIONS = ("auto", "on")  # as trained, and as its own scripts add them
ABLATIONS = ("positions", "dropout", "null", "noise")


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser(
        "evaluate", aliases=["ablate"], help="measure how well a model speaks, and why", description=DESCRIPTION
    )
    parser.add_argument("--out", type=Path, default=Path("evidence"), help="folder for tables and plots")
    parser.add_argument("--exams", type=int, default=6, help="clips to dub (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip (default: %(default)s)")
    parser.add_argument(
        "--generator",
        choices=GENERATORS,
        default=GENERATORS[0],
        help="what draws the mouth; musetalk is evaluated with positions as trained and as its scripts add them, and "
        "has neither steps nor guidance (default: %(default)s)",
    )
    parser.add_argument("--steps", type=int, help=f"denoising steps (default: a student's own, else {DEFAULT_STEPS})")
    parser.add_argument(
        "--guidance", type=float, nargs="+", metavar="SCALE", help="(default: 1 for a student, else 1.5 1 2 3)"
    )
    parser.add_argument("--solver", choices=SOLVERS, help="(default: a student's own, else ddim)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the noise (default: %(default)s)")
    parser.add_argument(
        "--recorded",
        type=Path,
        metavar="PATH",
        help="dub with recorded sentences: a folder of .wav files with timed phones or a text beside them, or the "
        "source archive of the package pocketsphinx",
    )
    parser.add_argument("--presets", action="store_true", help="evaluate the presets of sampling, with their time")
    training = parser.add_argument_group("ablations")
    training.add_argument("--train", type=Path, metavar="CONFIG", help="the training run to vary")
    training.add_argument("--vary", nargs="+", choices=ABLATIONS, default=ABLATIONS, help="what (default: everything)")
    training.add_argument("--seeds", type=int, default=2, help="runs of each way to train (default: %(default)s)")
    training.add_argument("--train-steps", type=int, metavar="N", help="budget of a run (default: the config's)")
    training.add_argument("--runs", type=Path, help="folder for the runs (default: `runs` inside --out)")
    add_model_options(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when tables and plots are written."""
    show_log(args.verbose)
    check_complete()
    check_arguments(args)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatentSyncError(f"{args.out}: this folder cannot be made ({error.strerror}); choose another.") from error
    announce(f"Writing to {args.out}; loading the model ...")
    bars = StageBars()
    try:
        text = chosen_study(args)(args, bars)
    finally:
        bars.close()
    sys.stdout.write(text + "\n")
    return 0


def check_complete() -> None:
    """Refuse where the package is the host registry's archive, which leaves out what only research needs."""
    if importlib.util.find_spec("..evaluation", __package__) is None:
        raise LatentSyncError(
            "This copy of the package has no `evaluation`, which ComfyUI's registry leaves out; "
            "run `evaluate` in a clone of the repository."
        )


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse at once what no study can be made with."""
    if args.exams < 2:
        raise LatentSyncError(f"--exams is {args.exams}; at least 2 are needed, to compare with another's voice.")
    if args.generator != GENERATORS[0] and (args.presets or args.train is not None):
        raise LatentSyncError(
            f"--generator {args.generator} was given with {'--presets' if args.presets else '--train'}; the presets "
            f"are LatentSync's, and a training config names its own generator (model.generator): leave one out."
        )
    if args.train is not None and args.presets:
        raise LatentSyncError("--presets evaluates one model and --train trains many; leave one of them out.")
    if args.train is not None and args.recorded is not None:
        raise LatentSyncError("--recorded evaluates one model and --train trains many; leave one of them out.")
    check_model_files(args)
    if args.train is not None:
        check_inputs((args.train, "a training config (.toml or .json)"))
    if args.recorded is not None and not args.recorded.is_dir():
        check_inputs((args.recorded, "a folder of recorded sentences or an archive of them"))


def chosen_study(args: argparse.Namespace) -> Callable[[argparse.Namespace, StageBars], str]:
    """The study that the options ask for."""
    if args.recorded is not None:
        return recorded
    if args.presets:
        return speed
    return evaluate if args.train is None else ablations


def evaluated_models(args: argparse.Namespace):
    """The generator that the options name."""
    from ..generators.loading import load_generator
    from ..pipeline.settings import Settings

    files = {"vae": args.vae, "whisper": args.whisper, "directory": args.models}
    lora = {"lora": args.lora, "lora_strength": args.lora_strength}
    run_on = {"device": args.device, "precision": args.precision}
    return load_generator(args.generator, Settings(), checkpoint=args.checkpoint, **files, **lora, **run_on)


def chosen_ways(args: argparse.Namespace) -> dict:
    """The Settings to evaluate by the name of their row: presets, guidance scales or MuseTalk's positions."""
    from ..diffusion import Guidance
    from ..pipeline.settings import Settings

    if args.generator == "musetalk":
        return {f"positions {position}": Settings(position=position) for position in MUSETALK_POSITIONS}
    if args.presets:
        kept = {name: preset for name, preset in PRESETS.items() if name != STUDENT_PRESET}
        return {name: Settings(**preset.values(), seed=args.seed) for name, preset in kept.items()}
    steps, solver, scales = sampling_from(args)
    every = {"steps": steps, "solver": solver, "seed": args.seed}
    return {f"guidance {scale:g}": Settings(**every, guidance=Guidance(scale)) for scale in scales}


def sampling_from(args: argparse.Namespace) -> tuple[int, str, tuple[float, ...]]:
    """Steps, solver and guidance scales: as given, else as a student was trained for, else the reference's."""
    student = student_of(args.lora, args.checkpoint) if args.generator == GENERATORS[0] else None
    own_steps, own_solver = (student.steps, student.solver) if student else (DEFAULT_STEPS, SOLVERS[0])
    steps, solver = own_steps if args.steps is None else args.steps, args.solver or own_solver
    return steps, solver, tuple(args.guidance or ((DISTILLED_SCALE,) if student else GUIDANCES))


def steps_text(args: argparse.Namespace) -> str:
    """What a table's title says of the steps."""
    if args.generator == "musetalk":
        return "one step"
    if args.presets:
        return "the presets"
    steps, solver, _ = sampling_from(args)
    return f"{steps} steps" if solver == SOLVERS[0] else f"{steps} steps by {solver}"


def recorded(args: argparse.Namespace, bars: StageBars) -> str:
    """Scores of one model on recorded speech: recorded.md and recorded.json."""
    from ..evaluation.recorded_sentences import read_sentences
    from ..evaluation.recorded_speech import evaluate_recorded, recorded_table

    models = evaluated_models(args)
    ways = chosen_ways(args)
    with tempfile.TemporaryDirectory(prefix="latentsync-recorded-") as folder:
        sentences = read_sentences(args.recorded, Path(folder))
        progress = partial(bars.on_progress, "exams")
        progress(0, (len(ways) + 1) * len(sentences))
        found = evaluate_recorded(models, sentences, ways, Path(folder), on_progress=progress)
    (args.out / "recorded.json").write_text(json.dumps(found.to_dict(), indent=1), encoding="utf-8")
    text = f"{len(sentences)} recorded sentences, {steps_text(args)}\n\n{recorded_table(found)}"
    (args.out / "recorded.md").write_text(text + "\n", encoding="utf-8")
    return text


def evaluate(args: argparse.Namespace, bars: StageBars) -> str:
    """Scores of one model: evidence.md, evidence.json, openings.png and strip.png."""
    from PIL import Image

    from ..evaluation import make_evaluation_clips
    from ..evaluation.evaluate import evaluate_model
    from ..evaluation.plots import plot_openings
    from ..evaluation.scores import table

    models, ways = evaluated_models(args), chosen_ways(args)
    exams = make_evaluation_clips(args.exams, args.seconds)
    progress = partial(bars.on_progress, "exams")
    progress(0, len(ways) * len(exams))
    with tempfile.TemporaryDirectory(prefix="latentsync-exams-") as folder:
        found = evaluate_model(models, exams, ways, Path(folder), on_progress=progress)
    every = {name: [scores.to_dict() for scores in row] for name, row in found.every.items()}
    (args.out / "evidence.json").write_text(json.dumps(every, indent=1), encoding="utf-8")
    plot_openings(found.curves[:4], args.out / "openings.png")
    Image.fromarray(found.grid).save(args.out / "strip.png")
    text = f"{args.exams} exams of {args.seconds:g} s, {steps_text(args)}\n\n{table(found.rows)}"
    (args.out / "evidence.md").write_text(text + "\n", encoding="utf-8")
    return text


def speed(args: argparse.Namespace, bars: StageBars) -> str:
    """What the presets cost and lose: speed.md and speed.json."""
    from ..evaluation import make_evaluation_clips
    from ..evaluation.speed_study import speed_table, study_speed

    models, ways = evaluated_models(args), chosen_ways(args)
    exams = make_evaluation_clips(args.exams, args.seconds)
    progress = partial(bars.on_progress, "exams")
    progress(0, len(ways) * len(exams))
    with tempfile.TemporaryDirectory(prefix="latentsync-exams-") as folder:
        rows = study_speed(models, exams, ways, Path(folder), on_progress=progress)
    (args.out / "speed.json").write_text(json.dumps([row.to_dict() for row in rows], indent=1), encoding="utf-8")
    text = f"{args.exams} exams of {args.seconds:g} s\n\n{speed_table(rows)}"
    (args.out / "speed.md").write_text(text + "\n", encoding="utf-8")
    return text


def ablations(args: argparse.Namespace, bars: StageBars) -> str:
    """Train and evaluate every cell: ablations.md, ablations.json and a plot of each ablation."""
    from ..evaluation import make_evaluation_clips
    from ..evaluation.ablation import AblationPlan, run_ablations
    from ..evaluation.plots import plot_scores
    from ..evaluation.scores import table
    from ..evaluation.significance import across_seeds, comparison_table, comparisons
    from ..training import read_config

    base = read_config(args.train)
    if args.train_steps is not None:
        base = replace(base, optimizer=replace(base.optimizer, steps=args.train_steps))
    # runs share what is prepared once per clip
    base = replace(base, data=replace(base.data, cache=base.data.cache or (args.runs or args.out / "runs") / "cache"))
    exams = make_evaluation_clips(args.exams, args.seconds)
    results = []
    plan = AblationPlan(
        base=base,
        names=args.vary,
        seeds=range(args.seeds),
        clips=exams,
        load=load_trained,
        folder=args.runs or args.out / "runs",
        sample_steps=DEFAULT_STEPS if args.steps is None else args.steps,
    )
    for result in run_ablations(plan, callbacks=Callbacks(on_progress=bars.on_progress)):
        results.append(result)
        record = [found.to_dict() for found in results]
        (args.out / "ablations.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    parts = []
    for name in args.vary:
        own = [result for result in results if result.ablation == name]
        rows = across_seeds(own)
        plot_scores(rows, args.out / f"{name}.png")
        means, spreads = [(label, mean) for label, mean, _ in rows], [spread for _, _, spread in rows]
        parts.append(f"### {name}\n\n{table(means, spreads)}\n\n{comparison_table(comparisons(own))}")
    budget = f"{base.optimizer.steps} steps of training, {args.seeds} seeds, {args.exams} exams of {args.seconds:g} s"
    text = f"{budget}\n\n" + "\n\n".join(parts)
    (args.out / "ablations.md").write_text(text + "\n", encoding="utf-8")
    return text


def load_trained(checkpoint: Path, config):
    """What to evaluate: the trained UNet with the VAE and Whisper it was trained with."""
    from ..generators.musetalk.loading import load_musetalk
    from ..models.loading import load_models

    load = load_musetalk if config.model.generator == "musetalk" else load_models
    return load(checkpoint, vae=config.model.vae, whisper=config.model.whisper, precision="fp32")
