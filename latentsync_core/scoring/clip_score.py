"""The scores of one clip: what is measured without any download, and beside it what other judges say."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..options import WINDOW_FRAMES
from .against_source import SourceScore
from .lip_sync import LipSync, LipSyncCurves, lip_sync
from .measured_face import MeasuredFace
from .mouth_score import MouthScore, mouth_score
from .voice import VoiceMouth

DECIMALS = 4


@dataclass(frozen=True, eq=False)
class ClipScore:
    """All scores of one clip. frames: read; faces: with a face. curves: for plots, not in the JSON.

    source: beside the clip it was made from, where that was given. judges: further scores by name, each a mapping
    (SyncNet's, of phones).
    """

    frames: int
    faces: int
    seconds: float
    sync: LipSync
    mouth: MouthScore
    curves: LipSyncCurves
    source: SourceScore | None = None
    judges: dict[str, dict[str, Any]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the numbers of `sync` at the top, those of the judges beside them; None for what is unknown."""
        parts = {
            "frames": self.frames,
            "faces": self.faces,
            "seconds": self.seconds,
            **asdict(self.sync),
            "mouth": asdict(self.mouth),
            "source": None if self.source is None else asdict(self.source),
            **(self.judges or {}),
        }
        return rounded(parts)


def rounded(value: Any) -> Any:
    """The same with floats of four decimals, and None for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), DECIMALS) if np.isfinite(value) else None
    return value


def score_face(face: MeasuredFace, voice: VoiceMouth, borders: Sequence[int] | None = None) -> ClipScore:
    """Score a measured face with a voice. borders: first frames of windows; every 16th of each run if not given."""
    sync, curves = lip_sync(face.shape, face.times, voice)
    known = ~np.isnan(face.shape.opening)
    return ClipScore(
        frames=len(face),
        faces=int(known.sum()),
        seconds=float(face.times[-1] - face.times[0]),
        sync=sync,
        mouth=mouth_score(face, range(WINDOW_FRAMES, len(face), WINDOW_FRAMES) if borders is None else borders),
        curves=curves,
    )
