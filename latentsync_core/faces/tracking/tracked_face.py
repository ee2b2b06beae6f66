"""One face that is followed: where it was in every frame, and in which shot it was seen last."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..landmarks import mesh_box
from .mesh_storage import MeshMemory
from .motion import FaceSteps, is_discontinuous


@dataclass(frozen=True)
class Sighting:
    """A face in one frame: its mesh (468, 3) in pixels and the presence score of the mesh network.

    discontinuous: the face is where it cannot have moved to, so that a shot must have begun.
    lip_shift: how far the lips moved in a second fit, NaN without one.
    """

    mesh: np.ndarray
    presence: float
    discontinuous: bool = False
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
        """Whether only a cut explains this face's step from one mesh (468, 3) to that of the next frame."""
        is_outlier = self.steps.add_step(before, after)  # in any case, since it records the step
        return is_outlier or is_discontinuous(before, after)

    def see(self, index: int, shot: int, sighting: Sighting) -> None:
        """Record where this face is in frame `index`, the newest one."""
        self.write(index, sighting)
        self.box, self.seen, self.shot = mesh_box(sighting.mesh), index, shot

    def write(self, index: int, sighting: Sighting) -> None:
        """Store a sighting in any frame to the clip's end."""
        self.sightings[index] = replace(sighting, mesh=self.meshes.keep(sighting.mesh))
