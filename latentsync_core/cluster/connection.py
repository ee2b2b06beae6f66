"""The one place that imports Ray: join a cluster, or start one on this machine that nobody else can reach."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import LatentSyncError

log = logging.getLogger(__name__)

AUTO = "auto"
NEW = "local"  # Ray's word for a cluster of its own
LOOPBACK = "127.0.0.1"
SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's switch: "0" binds all its ports to the loopback
ADDRESS = "RAY_ADDRESS"  # the variable that names a cluster for "auto"
TEMPORARY = "RAY_TMPDIR"  # the variable that says where Ray keeps its notes


def import_ray() -> ModuleType:
    """Ray. Raises LatentSyncError saying how to get it."""
    try:
        import ray
    except ImportError as error:
        raise LatentSyncError(
            f"A cluster needs Ray, which is not there ({error}); pip install 'latentsync-nodes[cluster]' brings it."
        ) from error
    return ray


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected for as long as the block lasts; a connection that the process has already is left as it is.

    address: of a cluster's head, as "10.0.0.5:6379"; or "auto": the cluster that this machine belongs to, and where it
    belongs to none, one that is started here, on the loopback alone, and ends with the block.
    Raises LatentSyncError where Ray is missing or there is no such cluster.
    """
    alone = address == AUTO and not belongs_to_cluster()
    switched = alone and SEVERAL_MACHINES not in os.environ
    if switched:
        os.environ[SEVERAL_MACHINES] = "0"  # Ray reads it when it is imported, and its processes when they start
    try:
        ray = import_ray()
        if ray.is_initialized():
            yield ray
            return
        join(ray, NEW if alone else address)
        if alone and ray.util.get_node_ip_address() != LOOPBACK:
            log.warning("Ray had been imported before: its ports are open to the network, behind Ray's token alone.")
        try:
            yield ray
        finally:
            ray.shutdown()
    finally:
        if switched:
            del os.environ[SEVERAL_MACHINES]


def belongs_to_cluster() -> bool:
    """Whether there is a cluster for this machine to join, by Ray's own two marks."""
    return bool(os.environ.get(ADDRESS)) or noted_cluster().exists()


def noted_cluster() -> Path:
    """Where `ray start` notes the cluster that this machine belongs to, in the folder that Ray takes by itself."""
    usual = os.path.join(os.sep, "tmp") if sys.platform == "darwin" else tempfile.gettempdir()
    return Path(os.environ.get(TEMPORARY) or usual) / "ray" / "ray_current_cluster"


def join(ray: ModuleType, address: str) -> None:
    """Connect to a cluster, or to a new one. Raises LatentSyncError where none answers."""
    starting = {"include_dashboard": False} if address == NEW else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **starting)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LatentSyncError(
            f"No cluster answers at {address} ({reason}); start one with `ray start --head`; "
            "if it asks for a token, set RAY_AUTH_MODE=token here too."
        ) from error
