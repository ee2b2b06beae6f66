"""What a run did: settings, versions, seconds per stage, frames by state, warnings, as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..faces import FaceState
from ..file_names import valid_text
from ..generators.generator import Generator
from ..intervals import Stretch, runs_of, stretches_of
from ..run_log import RunLog
from ..versions import plain, versions
from .generate import Generated
from .plan import Plan, TrackedSource
from .run_cache import cache_use
from .voice import Voice, describe_voice


@dataclass(frozen=True)
class Report:
    """What a finished run did, as `build_report` puts it together.

    inputs: what the files hold; "starts": seconds after a file's zero at which its pictures and its sound begin, and
    what silence went before the sound, or how much of it was cut, so that it keeps its place.
    stages: seconds each stage was at work; they overlap. seconds: of the whole run. voice: its silences, and the gate's
    curve over the output. source_frames: frames read, by face state. output_frames: frames written, how many of them
    synced, faded in part, and left untouched. output_times: the stretches of those "synced" and "untouched", in frames
    and seconds. segments: how many there are, were computed, and were found finished by an earlier run. memory: bytes
    held for the whole clip, and of the most latents held at once; and how many windows went through the network at
    once. cache: where results are kept between runs, and how many of each kind were found there and computed. forecast:
    seconds and bytes as foretold, and what it came to. scores: how well lips and voice agree in the result, where that
    was measured. warnings: every warning the library logged, in order.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    voice: dict[str, Any] = field(default_factory=dict)
    source_frames: dict[str, Any] = field(default_factory=dict)
    output_frames: dict[str, Any] = field(default_factory=dict)
    output_times: dict[str, Any] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    forecast: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Only what JSON knows: rates as "30000/1001", paths as text."""
        return plain(asdict(self))

    def to_json(self) -> str:
        """Indented JSON text, in which a file name's bytes that are no UTF-8 are escaped (see valid_text)."""
        return valid_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False))


def build_report(
    plan: Plan, voice: Voice, generator: Generator, generated: Generated, log: RunLog, forecast: dict[str, Any]
) -> Report:
    """Everything worth telling of a finished run. forecast: what it was estimated to take, and took."""
    inputs, settings, segments = plan.inputs, plan.settings, len(plan.segments)
    return Report(
        inputs={"video": inputs.video, "audio": inputs.voice, "starts": inputs.starts},
        output=describe_output(plan, generated.target),
        models={"generator": generator.name, **generator.sources},
        settings=dict(vars(settings)),
        versions=versions(),
        stages=dict(log.stages),
        seconds=log.seconds,
        voice=describe_voice(voice, settings, plan.timeline),
        source_frames=describe_source(plan.tracked),
        output_frames=describe_frames(plan, generated.synced),
        output_times=describe_times(plan),
        segments={"total": segments, "computed": segments - generated.reused, "reused": generated.reused},
        memory={
            "track": sum(array.nbytes for array in plan.track.to_arrays().values()),
            **generated.memory,
        },
        cache=cache_use(settings.cache),
        forecast=forecast,
        warnings=list(log.warnings),
    )


def describe_output(plan: Plan, target: Path) -> dict[str, Any]:
    """The file that was written."""
    timeline = plan.timeline
    return {
        "path": target,
        "bytes": target.stat().st_size,
        "fps": timeline.fps,
        "variable_rate": timeline.variable,
        "seconds": float(timeline.seconds),
        "windows": len(plan.windows),
        "window_starts": [window.start for window in plan.windows],
    }


def describe_source(tracked: TrackedSource) -> dict[str, Any]:
    """Source frames by face state."""
    track = tracked.track
    return {
        "read": len(track),
        **track.counts(),
        **tracked.damage,
        "cuts": list(track.cuts),
        "states": state_runs(track.states),
    }


def describe_frames(plan: Plan, synced: int) -> dict[str, int]:
    """Output frames by what was done to them."""
    written, strength = len(plan.timeline), plan.strength
    return {
        "written": written,
        "synced": synced,
        "untouched": written - synced,
        "faded": int(((strength > 0) & (strength < 1)).sum()),
    }


def describe_times(plan: Plan) -> dict[str, list[Stretch]]:
    """When the result shows a generated mouth, and when it does not."""
    synced, timeline = plan.synced, plan.timeline
    return {
        "synced": stretches_of(synced, timeline.times, timeline.seconds),
        "untouched": stretches_of(~synced, timeline.times, timeline.seconds),
    }


def state_runs(states: np.ndarray) -> list[dict]:
    """A face state for every frame, run by run: {"first", "last", "state"}."""
    changes = (np.flatnonzero(np.diff(states)) + 1).tolist()
    return [
        {"first": first, "last": stop - 1, "state": FaceState(states[first]).name.lower()}
        for first, stop in runs_of(np.ones(len(states), bool), changes)
    ]
