"""One face that is followed: where it was in every frame, and in which shot it was seen last."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..landmarks import mesh_box
from .mesh_storage import MeshMemory
from .motion import FaceSteps, leaps


@dataclass(frozen=True)
class Sighting:
    """A face in one frame: its mesh (468, 3) in pixels and how sure the mesh network was of it.

    jumped: the face is where it cannot have moved to, so that a shot must have begun.
    lip_shift: how far the lips moved in a second look, NaN without one.
    """

    mesh: np.ndarray
    presence: float
    jumped: bool = False
    lip_shift: float = math.nan


@dataclass(eq=False)
class TrackedFace:
    """Where a face was. sightings: by frame index; box (4,), seen, shot: of the last of them, in the order of time."""

    sightings: dict[int, Sighting] = field(default_factory=dict)
    box: np.ndarray | None = None
    seen: int = -1
    shot: int = -1
    steps: FaceSteps = field(default_factory=FaceSteps)
    meshes: MeshMemory = field(default_factory=MeshMemory)

    def mesh_at(self, index: int) -> np.ndarray | None:
        """The mesh in a frame, None where this face was not seen."""
        sighting = self.sightings.get(index)
        return None if sighting is None else sighting.mesh

    def step_is_a_cut(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether only a cut takes this face from one mesh (468, 3) to that of the frame that follows."""
        jump = self.steps.jump(before, after)  # always asked, since it remembers the step
        return jump or leaps(before, after)

    def see(self, index: int, shot: int, sighting: Sighting) -> None:
        """Write down where this face is in frame `index`, the newest one."""
        self.write(index, sighting)
        self.box, self.seen, self.shot = mesh_box(sighting.mesh), index, shot

    def write(self, index: int, sighting: Sighting) -> None:
        """Keep what was seen in any frame to the clip's end."""
        self.sightings[index] = replace(sighting, mesh=self.meshes.keep(sighting.mesh))
