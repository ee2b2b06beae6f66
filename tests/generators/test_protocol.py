"""A generator needs the few methods of docs/ARCHITECTURE.md: one that mirrors the filmed face passes the pipeline."""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FaceTrack
from latentsync_core.generators.aligned_faces import AlignedFaces, aligned_faces
from latentsync_core.generators.clip import Clip
from latentsync_core.generators.face_latents import pixels_of
from latentsync_core.generators.generator import Generation, Generator, UnknownFaceError
from latentsync_core.generators.segments import Segment
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
from latentsync_core.models.embedded import embedded_whisper
from latentsync_core.options import Guidance
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long

FRAMES = 10
LOSSLESS = EncodeSettings(codec="ffv1")


@dataclass
class Mirroring(Generation):
    """Hands on every filmed face, mirrored."""

    clip: Clip
    reader: VideoReader

    def encode(self, segment: Segment, callbacks: Callbacks) -> Tensor:
        """The filmed faces of a segment: (f, 3, r, r)."""
        shown = [self.clip.source[frame] for frame in range(segment.start, segment.stop)]
        return pixels_of([self.clip.crops.crop(frame) for frame in self.reader.frames_at(shown)])

    def generate(self, segment: Segment, encoded: Tensor, callbacks: Callbacks) -> Tensor:
        """The same, mirrored."""
        return encoded.flip(-1)

    def faces(self, segment: Segment, generated: Tensor) -> Iterator[tuple[int, Tensor]]:
        """One for every frame."""
        return enumerate(generated)


class Mirror(Generator):
    """Knows no voice and no steps."""

    name = "mirror"
    unused = frozenset({"steps", "guidance"})

    def __init__(self, refuses: bool = False, instead: Generator | None = None):
        self.device, self.audio_encoder, self.sources = torch.device("cpu"), embedded_whisper(), {}
        self.refuses, self.instead = refuses, instead

    def working_resolution(self, asked: int | None) -> int:
        """Any."""
        return asked or 128

    def face_crops(self, track: FaceTrack, settings: Settings) -> AlignedFaces:
        """As LatentSync's."""
        return aligned_faces(track, settings)

    def begin(self, clip: Clip, reader: VideoReader) -> Mirroring:
        """Begin with a clip."""
        return Mirroring(clip, reader)

    def check_face(self, reader: VideoReader, clip: Clip) -> None:
        """Every face is known, unless the test says otherwise."""
        if self.refuses:
            raise UnknownFaceError(f"{clip.video}: a face that this mirror does not know.")


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> tuple[Path, Path]:
    """Ten frames of the demo clip, lossless, and a voice as long."""
    folder = tmp_path_factory.mktemp("media")
    with VideoReader(CLIP) as reader, VideoWriter(folder / "clip.mkv", reader.info, LOSSLESS) as writer:
        for frame in reader.frames(0, FRAMES):
            writer.write(frame.picture)
    with wave.open(str(VOICE)) as source, wave.open(str(folder / "voice.wav"), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(FRAMES / 25 * source.getframerate())))
    return folder / "clip.mkv", folder / "voice.wav"


def pictures(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.rgb() for frame in reader.frames()])


def test_its_faces_are_pasted_into_every_frame_and_nothing_else_changes(media, tmp_path):
    told = []
    report = lipsync(
        *media, tmp_path / "out.mkv", Mirror(), Settings(encode=LOSSLESS), Callbacks(on_estimate=told.append)
    )
    assert report.output_frames == {"written": FRAMES, "synced": FRAMES, "untouched": 0, "faded": 0}
    assert report.models["generator"] == "mirror"
    assert len(told) == 2 and told[0].seconds > 0
    before, after = pictures(media[0]), pictures(tmp_path / "out.mkv")
    changed = (before != after).any(-1)
    assert changed.reshape(FRAMES, -1).any(1).all()
    assert changed.mean() < 0.25, "the mirrored mouth alone is pasted"
    assert (after[:, :40] == before[:, :40]).all()


def test_a_setting_it_has_no_use_for_is_refused_by_name(media, tmp_path):
    with pytest.raises(LatentSyncError, match="mirror has no guidance, steps"):
        lipsync(*media, tmp_path / "out.mkv", Mirror(), Settings(steps=30, guidance=Guidance(2.0)))
    assert not (tmp_path / "out.mkv").exists()


def test_a_face_it_does_not_know_goes_to_the_one_that_stands_in(media, tmp_path, caplog):
    settings = Settings(encode=LOSSLESS)
    report = lipsync(*media, tmp_path / "out.mkv", Mirror(refuses=True, instead=Mirror()), settings)
    assert report.output_frames["synced"] == FRAMES
    assert any("does not know" in warning and "mirror" in warning for warning in report.warnings)
    with pytest.raises(UnknownFaceError, match="does not know"):
        lipsync(*media, tmp_path / "none.mkv", Mirror(refuses=True), settings)
