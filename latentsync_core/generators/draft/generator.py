"""The draft behind the generators' protocol: what the voice asks for, drawn with the frame's own lips."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...audio import Features
from ...audio.feature_file import spans, take
from ...errors import LatentSyncError
from ...faces import FaceTrack, mouth_masks
from ...faces.pictures import single_thread
from ...media import VideoReader
from ...models.embedded import EMBEDDED_NAME, embedded_mouth_predictor, embedded_whisper
from ...models.mouth_predictor import CONTEXT_STEPS, MouthPredictor
from ...options import MASKS, Seam
from ...progress import Callbacks
from ...settings import Settings
from ..clip import Clip
from ..face_latents import pixels_of
from ..generator import Generation, Generator
from ..segments import Segment
from .drawn_mouth import inner_mouth
from .inner_mouth import InnerMouth
from .moved_faces import ALIGNED, MovedFaces, moved_faces
from .plan import Shot, asked_shapes, plan_mouths
from .redraw import redraw


class Draft(Generator):
    """Moves the mouth of each frame itself, on the CPU, in any face; no download is needed."""

    name = "draft"
    unused = frozenset(
        {"resolution", "steps", "guidance", "seed", "solver", "reuse", "null_interval", "batch", "window", "overlap"}
        | {"position", "alignment", "bbox_shift", "blend"}
    )

    def __init__(self) -> None:
        self.device, self.audio_encoder = torch.device("cpu"), embedded_whisper()
        self.sources = {"whisper": EMBEDDED_NAME, "mouth predictor": EMBEDDED_NAME, "device": "cpu"}

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for options it has not; of the mask's it has the limit alone."""
        super().check(settings)
        if settings.seam not in (Seam(), Seam(mask=settings.seam.limit_file or MASKS[0])):
            raise LatentSyncError(
                "The generator draft has no mask shape, feather, growth or colour match, yet one was given: it changes "
                "only what moves; leave them out, or give a picture as the mask."
            )

    def face_crops(self, track: FaceTrack, settings: Settings) -> MovedFaces:
        """The part of every frame that a moving mouth can change."""
        return moved_faces(track, mouth_masks(track, ALIGNED, settings.seam))

    def begin(self, clip: Clip, reader: VideoReader) -> "DraftGeneration":
        """Begin with a clip."""
        return DraftGeneration(clip, reader)


class DraftGeneration(Generation):
    """The draft at work on one clip."""

    def __init__(self, clip: Clip, reader: VideoReader):
        self._clip, self._reader = clip, reader
        predicted = predicted_mouths(clip.features, embedded_mouth_predictor())
        asked = asked_shapes(predicted, [float(time) for time in clip.times])
        self._plan = plan_mouths(clip.track, clip.source, asked, clip.strength)
        self._inner: dict[Shot, InnerMouth] = {}

    def encode(self, segment: Segment, callbacks: Callbacks) -> list[int]:
        """The frames of a segment that are drawn; what shows inside the mouths of its shots is looked for."""
        frames = frames_of(segment)
        for shot in dict.fromkeys(self._shot_of(frame) for frame in frames):
            if shot not in self._inner:
                callbacks.check_cancelled()
                donors = self._reader.frames_at(sorted(shot.donors))
                self._inner[shot] = inner_mouth([self._clip.crops.face(frame) for frame in donors])
        return frames

    def generate(self, segment: Segment, encoded: list[int], callbacks: Callbacks) -> list[int]:
        """The same: faces at the frame's own resolution are large, and drawn when they are written."""
        return encoded

    def faces(self, segment: Segment, generated: list[int]) -> Iterator[tuple[int, Tensor]]:
        """Each with the mouth that the voice asks for, drawn one by one."""
        filmed = self._reader.frames_at(self._clip.source[frame] for frame in generated)
        for place, frame in zip(generated, filmed, strict=True):
            face, mouth = self._clip.crops.face(frame), self._plan.mouths[place]
            with single_thread():
                drawn = redraw(face, mouth, self._inner[self._shot_of(place)])
            yield place - segment.start, pixels_of([drawn.pixels])[0]

    def _shot_of(self, frame: int) -> Shot:
        """The shot that an output frame shows."""
        return self._plan.shot_of(self._clip.source[frame])


def frames_of(segment: Segment) -> list[int]:
    """The output frames of a segment that are drawn, counted in the clip."""
    return [segment.start + frame for span in segment.synced for frame in range(span.start, span.stop)]


def predicted_mouths(features: Features, predictor: MouthPredictor) -> np.ndarray:
    """The mouth of a voice, (T, 3) as of `MouthPredictor.mouth`, read off its features piece by piece."""
    reach, pieces = CONTEXT_STEPS // 2, []
    for span in spans(len(features)):
        start = max(span.start - reach, 0)
        around = torch.arange(start, min(span.stop + reach, len(features)))
        mouths = predictor.mouth(take(features, around))
        pieces.append(mouths[span.start - start : span.stop - start])
    return torch.cat(pieces).numpy()
