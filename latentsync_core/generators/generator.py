"""The protocol of everything that turns the faces of a clip and a voice into new faces."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import LatentSyncError
from ..faces import FaceTrack
from ..media import VideoReader
from ..models.whisper import WhisperEncoder
from ..progress import Callbacks
from ..settings import Settings
from .clip import Clip
from .face_crops import FaceCrops
from .segments import Segment

WARM_SECONDS = 1.0  # what takes less is done twice, as the first time includes setting up
STAGES = ("encode", "sample", "write")  # of a segment, in this order; each may have networks of its own


class Generation(ABC):
    """A generator at work on one clip, segment by segment, in order.

    A segment passes three stages, each of which may run in a thread of its own while others pass the others. What
    `encode` and `generate` return is the generator's own affair.
    """

    @abstractmethod
    def encode(self, segment: Segment, callbacks: Callbacks) -> Any:
        """Read and prepare the faces and the voice of a segment; stage "encode"."""

    @abstractmethod
    def generate(self, segment: Segment, encoded: Any, callbacks: Callbacks) -> Any:
        """Make what the new faces are drawn from; stage "sample"."""

    @abstractmethod
    def faces(self, segment: Segment, generated: Any) -> Iterator[tuple[int, Tensor]]:
        """(frame, counted from the segment's first, and its new face (3, h, w) in [-1, 1]), rising; stage "write".

        There is one for every frame of `segment.synced`, as large as its crop.
        """

    def precision(self, stage: str) -> str:
        """The precision in which a stage's network is by now, such as "float16"; "" where it has none."""
        return ""

    def restore_precision(self, stage: str, left_in: str) -> None:  # noqa: B027 (nothing to do without networks)
        """Bring a stage's network into the precision that a finished segment left it in."""

    def try_window(self, segment: Segment, encoded: Any) -> tuple[float, Any]:
        """Seconds that generating `segment`, a single window, takes, and something that `faces` can draw from."""
        generated: list[Any] = []
        seconds = timed(lambda: generated.append(self.generate(segment, encoded, Callbacks())))
        return seconds, generated[-1]

    def memory(self) -> dict[str, int]:
        """For the report: what is known of the memory it took."""
        return {}


class Generator(ABC):
    """A model that redraws mouths.

    name: as users choose it. unused: what of `Settings` it has no use for; a run that sets such a value is refused.
    device: where it runs. audio_encoder: which gives the features it is to be given. sources: where its networks were
    loaded from, for the report. instead: what takes its place for a face that it would spoil.
    """

    name: ClassVar[str]
    unused: ClassVar[frozenset[str]] = frozenset()
    device: torch.device
    audio_encoder: WhisperEncoder
    sources: Mapping[str, Any]
    instead: "Generator | None" = None

    def working_resolution(self, asked: int | None) -> int | None:
        """The crop size in pixels to use where `asked` is asked for; None for a generator without one of its own."""
        return asked

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for settings that this generator cannot obey."""
        refuse_unused(self.name, self.unused, settings)

    @abstractmethod
    def face_crops(self, track: FaceTrack, settings: Settings) -> FaceCrops:
        """The faces of a tracked clip in the shape this generator works on; settings: with a working resolution."""

    @abstractmethod
    def begin(self, clip: Clip, reader: VideoReader) -> Generation:
        """Begin with a clip. reader: of its video, for the generation alone, going forwards."""

    def digests(self) -> dict[str, str]:
        """What tells its weights from others: name and digest of every network."""
        return {}

    def found_faces(self, clip: Clip) -> set[int]:
        """The source frames of a clip whose faces another run has left encoded, for the forecast."""
        return set()

    def precisions(self) -> dict[str, str]:
        """The precision in which the network of each stage is by now; half precision that ends in NaN is left."""
        return {}

    def check_face(self, reader: VideoReader, clip: Clip) -> None:  # noqa: B027 (most generators draw any face)
        """Raise UnknownFaceError for a face that this generator would spoil."""


def generated_faces(
    generation: Generation, segments: Sequence[Segment], callbacks: Callbacks
) -> Iterator[tuple[int, Tensor]]:
    """(output frame, new face) of a whole clip, one stage after the other; for hosts that keep no parts."""
    for segment in segments:
        if segment.groups:
            encoded = generation.encode(segment, callbacks)
            generated = generation.generate(segment, encoded, callbacks)
            for frame, face in generation.faces(segment, generated):
                callbacks.check_cancelled()
                yield segment.start + frame, face


class UnknownFaceError(LatentSyncError):
    """A face of which the generator knows that it cannot draw it."""


def refuse_unused(name: str, unused: frozenset[str], settings: Settings) -> None:
    """Raise LatentSyncError where a setting that generator `name` has no use for was changed."""
    default = Settings()
    given = sorted(field for field in unused if getattr(settings, field) != getattr(default, field))
    if given:
        listed = ", ".join(field.replace("_", " ") for field in given)
        raise LatentSyncError(
            f"The generator {name} has no {listed}, yet a value was given: leave it out, or choose another generator."
        )


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes; what is quick is done again, without its setting up."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        if seconds > WARM_SECONDS:
            break
    return seconds
