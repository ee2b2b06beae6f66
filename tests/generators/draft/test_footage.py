"""Filmed people, and a photograph, say what another clip's voice asks of them, and nothing of what they said."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsync_core.audio import extract_features
from latentsync_core.demo import VOICE
from latentsync_core.faces import FaceTrack, track_faces
from latentsync_core.faces.box import Box, box_region
from latentsync_core.faces.landmarks import MeshFitter, roi_from_mesh
from latentsync_core.faces.mouth_opening import mouth_opening
from latentsync_core.generators.draft.drawn_mouth import inner_mouth
from latentsync_core.generators.draft.face_plane import face_planes
from latentsync_core.generators.draft.filmed_face import FilmedFace, face_box
from latentsync_core.generators.draft.plan import asked_shapes, plan_mouths
from latentsync_core.generators.draft.redraw import redraw
from latentsync_core.generators.draft.reshape import Mouth
from latentsync_core.media import VideoReader, read_waveform
from latentsync_core.models.embedded import embedded_mouth_predictor, embedded_whisper
from latentsync_core.scoring.lag import best_lag, lag_curve

pytestmark = pytest.mark.long

FRAMES = 45
STEADY = [33, 263, 168, 6, 1]  # outer corners of the eyes, ridge and tip of the nose


@dataclass(frozen=True, eq=False)
class Clip:
    """Pictures of one face, its track, and the voice that it shall speak."""

    pictures: list[np.ndarray]
    track: FaceTrack
    fps: float
    voice: Path

    def face(self, index: int) -> tuple[Box, FilmedFace]:
        """The face of a picture, and where it is."""
        mesh, plane, picture = self.track.mesh[index], face_planes(self.track.mesh)[index], self.pictures[index]
        box = box_region(face_box(mesh, plane), *picture.shape[:2])
        left, top, right, bottom = box
        return box, FilmedFace.cut(picture[top:bottom, left:right], box, mesh, plane)


@pytest.fixture(scope="module", params=[("demo1", "demo3"), ("demo3", "demo1")], ids=lambda names: names[0])
def clip(footage, request) -> Clip:
    """Somebody filmed while speaking, and another clip's voice."""
    name, other = request.param
    with VideoReader(footage / f"{name}_video.mp4") as reader:
        pictures, fps = [frame.rgb() for frame in reader.frames(0, FRAMES)], float(reader.info.fps)
    return Clip(pictures, track_faces(pictures), fps, footage / f"{other}_audio.wav")


def spoken(clip: Clip, source: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The opening (M,) that the voice asks for while the pictures `source` (M,) are shown, and the meshes drawn."""
    predicted = embedded_mouth_predictor().mouth(extract_features(read_waveform(clip.voice), embedded_whisper()))
    times, steps = np.arange(len(source)) / clip.fps, np.arange(len(predicted)) / 50
    plan = plan_mouths(clip.track, source, asked_shapes(predicted.numpy(), times))
    asked = np.interp(times, steps, predicted[:, 0].numpy())
    return asked, np.stack(list(drawn(clip, source, plan.mouths, plan.shots[0].donors)))


def drawn(clip: Clip, source: list[int], mouths, donors) -> Iterator[np.ndarray]:
    """The mesh of each picture with the mouth it is given."""
    fitter, inner = MeshFitter(), inner_mouth([clip.face(donor)[1] for donor in donors])
    for index, mouth in zip(source, mouths, strict=True):
        (left, top, right, bottom), face = clip.face(index)
        picture = clip.pictures[index].copy()
        picture[top:bottom, left:right] = redraw(face, mouth, inner).pixels
        yield fitter.fit(picture, roi_from_mesh(clip.track.mesh[index]))[0]


def jitter(mesh: np.ndarray) -> float:
    """Second difference over time of points that no mouth moves, pixels."""
    return float(np.diff(mesh[:, STEADY, :2], n=2, axis=0).std())


def test_a_filmed_mouth_follows_another_voice(clip):
    asked, result = spoken(clip, list(range(FRAMES)))
    lag = best_lag(lag_curve(mouth_opening(result), asked, 5))
    assert lag.correlation >= 0.8 and abs(lag.frames) <= 1
    assert jitter(result) < 1.1 * jitter(clip.track.mesh), "eyes and nose tremble no more than they were filmed to"


def test_what_was_filmed_is_brought_to_rest(clip):
    shown = list(range(0, FRAMES, 3))
    shut = mouth_opening(np.stack(list(drawn(clip, shown, [Mouth(0.0, 0.55)] * len(shown), [0]))))
    filmed = mouth_opening(clip.track.mesh[shown])
    assert shut.std() < filmed.std() / 3 and shut.max() < 0.06 < filmed.max()


def test_a_photograph_with_shut_lips_speaks():
    data = pytest.importorskip("matplotlib.cbook", reason="a photograph of a shut mouth comes with matplotlib")
    with data.get_sample_data("grace_hopper.jpg") as file:
        picture = np.array(Image.open(file).convert("RGB"))
    clip = Clip([picture], track_faces([picture]), 25.0, VOICE)
    asked, result = spoken(clip, [0] * 60)
    lag = best_lag(lag_curve(mouth_opening(result), asked, 5))
    assert lag.correlation >= 0.8 and abs(lag.frames) <= 1
    assert mouth_opening(result).max() > 3 * mouth_opening(clip.track.mesh[0]) > 0
