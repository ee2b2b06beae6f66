"""Filmed people, and a photograph, say what another clip's voice asks of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsync_core.audio import extract_features
from latentsync_core.demo import VOICE
from latentsync_core.faces import FaceTrack, track_faces
from latentsync_core.faces.box import box_region
from latentsync_core.faces.landmarks import MeshFitter, roi_from_mesh
from latentsync_core.faces.mouth_opening import mouth_opening
from latentsync_core.generators.draft.drawn_mouth import inner_mouth
from latentsync_core.generators.draft.filmed_face import FilmedFace, face_box
from latentsync_core.generators.draft.plan import MouthPlan, asked_shapes, plan_mouths
from latentsync_core.generators.draft.redraw import redraw
from latentsync_core.media import VideoReader, read_waveform
from latentsync_core.models.embedded import embedded_mouth_predictor, embedded_whisper
from latentsync_core.scoring.lag import best_lag, lag_curve

pytestmark = pytest.mark.long

FRAMES = 45
STEADY = [33, 263, 168, 6, 1]  # outer corners of the eyes, ridge and tip of the nose


@dataclass(frozen=True, eq=False)
class Drawn:
    """asked: (M,) opening; source, result: (M, 468, 3) meshes of the frames filmed and drawn."""

    asked: np.ndarray
    source: np.ndarray
    result: np.ndarray


def predicted(voice: Path) -> np.ndarray:
    return embedded_mouth_predictor().mouth(extract_features(read_waveform(voice), embedded_whisper())).numpy()


def drawn(pictures: list[np.ndarray], source: list[int], voice: Path, fps: float) -> Drawn:
    """Output frames that show the pictures `source`, redrawn to a voice, and their meshes."""
    track = track_faces(pictures)
    raw = predicted(voice)
    times = np.arange(len(source)) / fps
    plan = plan_mouths(track, source, asked_shapes(raw, times))
    result = np.stack(list(meshes(pictures, track, plan)))
    return Drawn(np.interp(times * 50, np.arange(len(raw)), raw[:, 0]), track.mesh[source], result)


def meshes(pictures: list[np.ndarray], track: FaceTrack, plan: MouthPlan) -> Iterator[np.ndarray]:
    fitter, faces = MeshFitter(), {}
    for index in {*plan.source.tolist(), *plan.shots[0].donors}:
        mesh, plane, picture = track.mesh[index], plan.planes[index], pictures[index]
        box = box_region(face_box(mesh, plane), *picture.shape[:2])
        left, top, right, bottom = box
        faces[index] = box, FilmedFace.cut(picture[top:bottom, left:right], box, mesh, plane)
    inner = inner_mouth([faces[donor][1] for donor in plan.shots[0].donors])
    for index, mouth in zip(plan.source.tolist(), plan.mouths, strict=True):
        (left, top, right, bottom), face = faces[index]
        picture = pictures[index].copy()
        picture[top:bottom, left:right] = redraw(face, mouth, inner).pixels
        yield fitter.fit(picture, roi_from_mesh(track.mesh[index]))[0]


def jitter(mesh: np.ndarray) -> float:
    """Second difference over time of points that no mouth moves, pixels."""
    return float(np.diff(mesh[:, STEADY, :2], n=2, axis=0).std())


@pytest.mark.parametrize(("name", "other"), [("demo1", "demo3"), ("demo3", "demo1")])
def test_a_filmed_mouth_follows_another_voice(footage, name, other):
    with VideoReader(footage / f"{name}_video.mp4") as reader:
        pictures, fps = [frame.rgb() for frame in reader.frames(0, FRAMES)], float(reader.info.fps)
    clip = drawn(pictures, list(range(FRAMES)), footage / f"{other}_audio.wav", fps)
    lag = best_lag(lag_curve(mouth_opening(clip.result), clip.asked, 5))
    assert lag.correlation >= 0.8 and abs(lag.frames) <= 1
    assert jitter(clip.result) < 1.1 * jitter(clip.source), "eyes and nose tremble no more than they were filmed to"


def test_a_photograph_with_shut_lips_speaks():
    data = pytest.importorskip("matplotlib.cbook", reason="a photograph of a shut mouth comes with matplotlib")
    with data.get_sample_data("grace_hopper.jpg") as file:
        picture = np.array(Image.open(file).convert("RGB"))
    clip = drawn([picture], [0] * 60, VOICE, 25.0)
    lag = best_lag(lag_curve(mouth_opening(clip.result), clip.asked, 5))
    assert lag.correlation >= 0.8 and abs(lag.frames) <= 1
    assert mouth_opening(clip.result).max() > 3 * mouth_opening(clip.source[0]) > 0
