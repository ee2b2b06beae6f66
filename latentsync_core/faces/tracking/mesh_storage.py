"""Storage for the meshes of a long clip, in blocks whose memory returns to the system."""

import numpy as np

from ..networks.facemesh import MESH_POINTS

BLOCK_MESHES = 512  # 2.9 MB: the system takes back blocks of this size as soon as they are dropped


class MeshMemory:
    """Keeps meshes in large blocks.

    As thousands of arrays of 5.6 kB, allocated among others that come and go, they would fragment the
    heap: after tracking 10 minutes, as much again as the track itself would stay with the process to its end.
    """

    def __init__(self) -> None:
        self._block = np.empty((0, MESH_POINTS, 3), np.float32)
        self._used = 0

    def keep(self, mesh: np.ndarray) -> np.ndarray:
        """A copy of a mesh (468, 3), float32, inside a block."""
        if self._used == len(self._block):
            self._block, self._used = np.empty((BLOCK_MESHES, MESH_POINTS, 3), np.float32), 0
        kept = self._block[self._used]
        kept[:] = mesh
        self._used += 1
        return kept
