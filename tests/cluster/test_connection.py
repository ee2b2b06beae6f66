"""A cluster that is started for a run is nobody else's: it listens on the loopback, and ends with the run."""

import os
import socket
import subprocess
import sys

import pytest

from latentsync_core.cluster.connection import ADDRESS, SEVERAL_MACHINES, belongs_to_cluster, connected
from latentsync_core.errors import LatentSyncError

OWN_CLUSTER = """
import os, sys
from pathlib import Path
from latentsync_core.cluster import connection
from latentsync_core.cluster.connection import connected
connection.noted_cluster = lambda: Path("no cluster")  # whichever there is on this machine
with connected("auto") as ray:
    node = ray.nodes()[0]
    gcs = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    print(node["NodeManagerAddress"], gcs, node["NodeManagerPort"], node["ObjectManagerPort"], flush=True)
    sys.stdin.readline()
print(sorted(name for name in os.environ if name == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"), ray.is_initialized())
"""


@pytest.mark.long
def test_its_own_cluster_is_out_of_reach_for_other_machines():
    pytest.importorskip("ray", reason="a cluster needs Ray, which is no requirement")
    environment = {name: value for name, value in os.environ.items() if name not in (SEVERAL_MACHINES, ADDRESS)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent; tells by which address others reach this machine
        outside = probe.getsockname()[0]
    command = [sys.executable, "-c", OWN_CLUSTER]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address, *ports = process.stdout.readline().split()
        for port in map(int, ports):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            if outside != "127.0.0.1":
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((outside, port), timeout=5).close()
        said, _ = process.communicate("\n", timeout=200)
    assert address == "127.0.0.1" and len(ports) == 3
    assert said.split() == ["[]", "False"], "the switch is put back, the cluster has ended"


def test_without_ray_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LatentSyncError, match=r"pip install 'latentsync-nodes\[cluster\]'"):
        with connected("auto"):
            pass


def test_a_machine_belongs_to_the_cluster_that_ray_has_noted_in_its_own_folder(monkeypatch, tmp_path):
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert not belongs_to_cluster()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.5:6379")
    assert belongs_to_cluster()
