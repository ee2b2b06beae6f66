"""Score a run by its own frames, as they are written: no second reading, one fit of the mesh for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import LatentSyncError
from ..faces import FaceNets, crop_size, warp_crop
from ..faces.landmarks import MeshFitter
from ..generators.aligned_faces import Alignment
from ..generators.face_crops import Composited, face_of
from ..pipeline.report import Report
from ..progress import Callbacks
from .clip_score import ClipScore, score_face
from .measured_face import MeasuredFace
from .picture import CROP
from .score_files import LEAST_SECONDS, ScoreInputs, read_voice, score_files
from .voice import VoiceMouth

FITTED = 256  # the resolution whose crop, before it is stretched to a square, the mesh is fitted in


@dataclass
class RunScore:
    """Measures every synced frame of a run: give `observe` as its `on_frame`, then ask for the report's scores.

    device: of the mesh's network, where `nets` gives none that is placed already.
    """

    device: torch.device | str = "cpu"
    nets: FaceNets | None = None
    face: MeasuredFace = field(default_factory=MeasuredFace)
    fitter: MeshFitter = field(init=False)

    def __post_init__(self) -> None:
        self.fitter = MeshFitter(self.device, self.nets)

    def observe(self, index: int, composited: Composited) -> None:
        """The next output frame."""
        if composited.matrix is None:
            self.face.add(composited.seconds, None)
            return
        shown = replace(composited.frame, index=0, picture=composited.picture)
        crop = Alignment(matrix_for(CROP, composited)[None], CROP, antialias=True).crop(shown)
        image, matrix, _, _ = face_of(shown, matrix_for(FITTED, composited), FITTED)
        mesh = self.fitter.fit_aligned(warp_crop(image, matrix, FITTED, antialias=True))
        self.face.add(composited.seconds, crop, mesh)

    def scores(self, report: Report, audio: Path, audio_track: str | None = None) -> dict[str, Any]:
        """For the report: the scores, or {"unmeasured": why} where there are too few frames, no face or no voice."""
        inputs = ScoreInputs(Path(report.output["path"]), audio, audio_track)
        try:
            if len(self.face) < report.output_frames["written"]:  # an earlier run's, or other machines', were not seen
                score = score_files(inputs, device=self.device, borders=report.output["window_starts"]).score
            else:
                spoken = replace(inputs, video=Path(report.inputs["video"].path))  # whose clock the voice was placed by
                score = self.own_score(lambda: read_voice(spoken, Callbacks())[0], report.output["window_starts"])
        except LatentSyncError as error:
            return {"unmeasured": str(error)}
        return score.to_dict()

    def own_score(self, read_mouth: Callable[[], VoiceMouth], borders: Sequence[int]) -> ClipScore:
        """The score of the frames observed, with a voice that is read only where they are enough.

        borders: first frames of windows. Raises LatentSyncError where the frames are too few, and what reading raises.
        """
        if len(self.face) < 2 or synced_seconds(self.face) < LEAST_SECONDS:
            raise LatentSyncError(
                f"the face is synced for {synced_seconds(self.face):.2f} s; {LEAST_SECONDS:g} s is needed to tell "
                "whether lips and voice agree"
            )
        return score_face(self.face, read_mouth(), borders)


def synced_seconds(face: MeasuredFace) -> float:
    """For how long a measured face is known."""
    if len(face) < 2:
        return 0.0
    return float(np.isfinite(face.shape.opening).sum() * np.median(np.diff(face.times)))


def matrix_for(resolution: int, composited: Composited) -> np.ndarray:
    """The matrix (2, 3) that cuts a frame's face out at another resolution than it was generated at."""
    own = np.array(crop_size(composited.resolution), float)  # width, height
    ratio = np.array(crop_size(resolution)) / own
    scaled = composited.matrix * ratio[:, None]
    scaled[:, 2] += (ratio - 1) / 2  # (0, 0) is the middle of the first pixel
    return scaled
