"""A Ray cluster of two machines on the loopback, shared by the tests of this folder; skipped by name without Ray."""

import os
import wave
from pathlib import Path

import pytest

from latentsync_core.cluster.connection import SEVERAL_MACHINES
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter

FRAMES = 12  # of output: six segments of 2
STORE_BYTES = 80 * 2**20  # of each machine's object store
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def cluster():
    """``ray.cluster_utils.Cluster`` with a head that works at nothing; the process is connected to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SEVERAL_MACHINES, "0")  # on the loopback alone
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")  # here and in the workers, or bytes may differ
        ray = pytest.importorskip("ray", reason="a cluster needs Ray, which is no requirement")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES})
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def machines(cluster):
    """``machines(2)`` -> so many machines of one core each, which leave the cluster at the end of the test."""
    joined = []

    def join(count: int, cards: int = 0) -> list:
        kind = {"num_cpus": 1, "num_gpus": cards, "object_store_memory": STORE_BYTES}
        joined.extend(cluster.add_node(**kind) for _ in range(count))
        return joined

    yield join
    for machine in joined:
        if machine in cluster.worker_nodes:
            cluster.remove_node(machine)


@pytest.fixture(scope="session")
def media(tmp_path_factory) -> tuple[Path, Path]:
    """Seven frames of the demo clip, lossless, and a voice for twelve: the output goes back over the source."""
    folder = tmp_path_factory.mktemp("media")
    with VideoReader(CLIP) as reader:
        with VideoWriter(folder / "clip.mkv", reader.info, EncodeSettings(codec="ffv1")) as writer:
            for frame in reader.frames(0, 7):
                writer.write(frame.picture)
    with wave.open(str(VOICE)) as source, wave.open(str(folder / "voice.wav"), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(FRAMES / 25 * source.getframerate())))
    return folder / "clip.mkv", folder / "voice.wav"
