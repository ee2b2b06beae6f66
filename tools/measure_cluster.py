"""How busy a cluster's workers are kept by the segments of a clip, and what a segment costs beside its own work.

    PYTHONPATH=.:tests python tools/measure_cluster.py --workers 1 2 4 --segments 16 --seconds 3

A development tool; needs Ray. The cluster is on this machine, on the loopback alone, and its generator sleeps instead
of computing, so that the cores are no limit. For each number of workers it prints the share of their time, from when
all are at work until there is no more work for all, that they spent in the stages of segments, and the seconds that a
segment takes beside its stages: to be asked for, read back, sent and put into place.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sleeping_generator import SleepingChoice

import latentsync_core.generators.segments
from latentsync_core.cluster.connection import SEVERAL_MACHINES
from latentsync_core.cluster.placement import Needs, place_workers
from latentsync_core.cluster.segment_worker import ClipOrder, SegmentWorker
from latentsync_core.cluster.spread import Workers
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.pipeline.lipsync import plan_for_face, track_inputs
from latentsync_core.pipeline.plan import Inputs
from latentsync_core.pipeline.voice import encode_voice
from latentsync_core.progress import Callbacks, never_cancelled
from latentsync_core.settings import Settings

SEGMENT_FRAMES = 2  # short, as what is measured does not depend on it
STORE_BYTES = 80 * 2**20  # of the object store


@dataclass(frozen=True)
class Timing:
    """A segment: when it was asked for and when it was here (seconds), what its stages took, bytes of its part."""

    asked: float
    arrived: float
    stages: float
    size: int


def clip_order(choice: SleepingChoice) -> ClipOrder:
    """The demo clip, tracked and planned."""
    generator = choice.load(Settings())
    settings = Settings(window=SEGMENT_FRAMES, resolution=generator.working_resolution(None), length="shortest")
    inputs = Inputs.probe(CLIP, VOICE)
    voice = encode_voice(inputs.voice, generator.audio_encoder, settings)
    tracked = track_inputs(inputs, generator, settings, voice, Callbacks())
    plan, generator = plan_for_face(inputs, tracked, voice, settings, generator)
    return ClipOrder.of(plan, voice, choice, generator.name, choice.folder / "out.mp4")


def timings(ray: ModuleType, order: ClipOrder, workers: int, segments: int) -> list[Timing]:
    """Have some segments made by some workers."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    pool = Workers(ray, SegmentWorker, place_workers(Needs("auto", workers), alive, "cpu"), ray.put(order), [])
    asked, found = {}, []

    def begin(actor, index: int):
        asked[index] = time.monotonic()
        return actor.make.remote(index)

    for index, made in pool.spread(range(segments), begin, never_cancelled):
        found.append(Timing(asked[index], time.monotonic(), sum(made.stages.values()), len(made.content)))
    return found


def row(found: list[Timing], workers: int) -> str:
    """Efficiency and overhead of some segments; the first of every worker, which loads its models, are left out."""
    warm = sorted(found, key=lambda timing: timing.asked)[workers:]
    start = max(timing.arrived for timing in sorted(found, key=lambda timing: timing.asked)[:workers])
    stop = sorted(timing.arrived for timing in found)[-workers]
    inside = [timing for timing in warm if timing.asked >= start and timing.arrived <= stop]
    busy = sum(max(0.0, min(t.asked + t.stages, stop) - max(t.asked, start)) for t in warm)
    overheads = sorted(timing.arrived - timing.asked - timing.stages for timing in inside)
    middle = overheads[len(overheads) // 2]
    size = sum(timing.size for timing in found) / len(found)
    return f"{workers:>7} {busy / (workers * (stop - start)):>11.3f} {middle:>9.4f} {size / 1000:>8.1f}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="that a segment sleeps")
    args = parser.parse_args()
    os.environ[SEVERAL_MACHINES] = "0"
    import ray  # reads the switch
    from ray.cluster_utils import Cluster

    latentsync_core.generators.segments.SEGMENT_FRAMES = SEGMENT_FRAMES
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES})
    for _ in range(max(args.workers)):
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    sys.stdout.write(f"{'workers':>7} {'efficiency':>11} {'overhead':>9} {'part kB':>8}\n")
    try:
        for workers in args.workers:
            with tempfile.TemporaryDirectory() as folder:
                order = clip_order(SleepingChoice(Path(folder), args.seconds))
                sys.stdout.write(row(timings(ray, order, workers, args.segments), workers) + "\n")
                sys.stdout.flush()
    finally:
        ray.shutdown()
        cluster.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
