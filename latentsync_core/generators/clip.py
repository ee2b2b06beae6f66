"""The clip a generator works on, as the pipeline has planned it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..audio import Features
from ..faces import FaceTrack
from ..settings import Settings
from .face_crops import FaceCrops
from .segments import Segment


@dataclass(frozen=True)
class Clip:
    """What a generator is told of the clip whose faces it redraws.

    video: the file. track: the face by source frame. crops: those of the generator's own `face_crops`. source: the
    source frame shown by each output frame. times: seconds at which each appears, which is also the instant of the
    voice it hears. strength: (output frames,) in 0..1, how much of the new mouth each shows. segments: of the output.
    features: of the voice, (T, L, D) at 50 Hz, by the generator's encoder. settings: with the generator's working
    resolution.
    """

    video: Path
    track: FaceTrack
    crops: FaceCrops
    source: Sequence[int]
    times: Sequence[Fraction]
    strength: np.ndarray
    segments: Sequence[Segment]
    features: Features
    settings: Settings

    @property
    def shown(self) -> list[int]:
        """The source frames whose face is generated, in the order of first showing."""
        spans = [span for segment in self.segments for span in segment.windows]
        return list(dict.fromkeys(self.source[frame] for span in spans for frame in range(span.start, span.stop)))
