"""The embedded model tells its own portrait from other faces, however it is filmed, and refuses those by default."""

import io
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.disk_cache import DiskCache
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FaceTrack, track_faces
from latentsync_core.generators.latentsync.known_face import (
    MOST_ERROR,
    check_known,
    face_error,
    redrawing_error,
)
from latentsync_core.media import ImageReader, VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings
from latentsync_core.progress import Callbacks

pytestmark = pytest.mark.long

FAST = {"steps": 1, "guidance": Guidance(1.0), "length": "video"}
FRAMES = 3


def tracked(picture: Image.Image) -> tuple[Image.Image, FaceTrack]:
    """A picture and the face in it."""
    return picture, track_faces(iter([np.asarray(picture.convert("RGB"))]))


def error_of(picture: Image.Image, track: FaceTrack) -> float:
    """The face_error of one picture with a face where `track` says."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).float() / 255
    return face_error(ImageReader(pixels[None], Fraction(25)), track, [0])


@pytest.fixture(scope="module")
def filmed() -> list[Image.Image]:
    """The first frames of the portrait's clip."""
    with VideoReader(CLIP) as reader:
        return [Image.fromarray(frame.rgb()) for frame in reader.frames(0, FRAMES)]


@pytest.fixture(scope="module")
def portrait(filmed) -> tuple[Image.Image, FaceTrack]:
    return tracked(filmed[0])


def noisy(picture: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 25, (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def compressed(picture: Image.Image) -> Image.Image:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=8)
    return Image.open(data)


def another(picture: Image.Image) -> Image.Image:
    """Somebody else: the portrait mirrored, and so dark in its shadows that its features are others."""
    dark = 255 * (np.asarray(ImageOps.mirror(picture)) / 255) ** 2.5
    return Image.fromarray(dark.astype(np.uint8))


SEEN_OTHERWISE = {
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "dark": lambda picture: ImageEnhance.Brightness(picture).enhance(0.3),
    "flat": lambda picture: ImageEnhance.Contrast(picture).enhance(0.5),
    "grey": ImageOps.grayscale,
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(4)),
    "noisy": noisy,
    "compressed": compressed,
}


@pytest.mark.parametrize("way", SEEN_OTHERWISE)
def test_the_portrait_is_known_however_it_is_filmed(way, portrait):
    picture, track = portrait
    assert error_of(SEEN_OTHERWISE[way](picture), track) < 0.8 * MOST_ERROR


def test_the_portrait_as_it_is_or_small_and_turned_is_known(portrait):
    assert error_of(*portrait) < 0.5 * MOST_ERROR
    turned = portrait[0].resize((160, 160)).rotate(12, Image.Resampling.BICUBIC, fillcolor=(180, 170, 160))
    assert error_of(*tracked(turned)) < 0.5 * MOST_ERROR


def test_a_face_with_other_features_is_not_known(portrait):
    assert error_of(*tracked(another(portrait[0]))) > 1.2 * MOST_ERROR
    assert redrawing_error([np.full((128, 128, 3), 127, np.uint8)]) > MOST_ERROR


def test_another_person_is_not_known():
    data = pytest.importorskip("matplotlib.cbook", reason="a photograph of somebody else comes with matplotlib")
    picture, track = tracked(Image.open(data.get_sample_data("grace_hopper.jpg")))
    for other in (picture, ImageOps.grayscale(picture), picture.filter(ImageFilter.GaussianBlur(3))):
        assert error_of(other, track) > 1.3 * MOST_ERROR


@pytest.mark.parametrize("name", ["demo1_video.mp4", "demo3_video.mp4"])
def test_people_in_real_footage_are_not_known(name, footage):
    with VideoReader(footage / name) as reader:
        picture = Image.fromarray(next(reader.frames()).rgb())
    assert error_of(*tracked(picture.reduce(2))) > 1.1 * MOST_ERROR


def test_the_refusal_names_both_ways_on():
    check_known(MOST_ERROR, "clip.mp4", "--checkpoint embedded")
    with pytest.raises(LatentSyncError, match=r"clip.mp4: .* download 1.6`, or insist with --checkpoint embedded\."):
        check_known(0.25, "clip.mp4", "--checkpoint embedded")


def clip_of(path: Path, pictures: list[Image.Image]) -> Path:
    """The pictures as a clip without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=pictures[0].width, height=pictures[0].height)
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def voice(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("voice") / "short.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate() // 2))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """What a run without a checkpoint gets where none was downloaded."""
    return load_models(directory=tmp_path_factory.mktemp("models"), device="cpu")


def test_without_a_checkpoint_a_stranger_is_refused_unless_one_insists(filmed, voice, models, tmp_path):
    stranger = clip_of(tmp_path / "stranger.mkv", [another(picture.resize((256, 256))) for picture in filmed])
    stages = set()
    callbacks = Callbacks(on_progress=lambda stage, *_: stages.add(stage))
    with pytest.raises(LatentSyncError, match="stranger.mkv: this is not the one face"):
        lipsync(stranger, voice, tmp_path / "a.mp4", models, Settings(**FAST), callbacks)
    assert stages == {"voice", "faces"} and list(tmp_path.iterdir()) == [stranger]
    assert models.fallback and not load_models("embedded", device="cpu").fallback
    report = lipsync(stranger, voice, tmp_path / "a.mp4", replace(models, fallback=False), Settings(**FAST))
    assert report.output_frames["synced"] == FRAMES


def test_its_own_portrait_is_synced_and_one_too_small_for_it_is_said(filmed, voice, models, tmp_path):
    clips = [
        clip_of(
            tmp_path / f"{side}.mkv", [picture.resize((side, side), Image.Resampling.LANCZOS) for picture in filmed]
        )
        for side in (256, 38)
    ]
    known, small = (lipsync(clip, voice, clip.with_suffix(".mp4"), models, Settings(**FAST)) for clip in clips)
    assert known.output_frames["synced"] == FRAMES and small.output_frames["synced"] == 0
    assert not any("can be synced" in text for text in known.warnings)
    (warning,) = [text for text in small.warnings if "a face is found, but no frame of it can be synced" in text]
    assert "pixels wide, too small" in warning


def test_the_error_of_a_file_is_measured_once_for_each_place_of_the_face(tmp_path):
    cache, frames = DiskCache(tmp_path), [0, 1]
    with VideoReader(CLIP) as reader:
        track = track_faces(reader.frames(0, 2))
        errors = [face_error(reader, track, frames, cache) for _ in range(2)]
        assert cache.found["face errors"] == cache.computed["face errors"] == 1
        moved = replace(track, points=track.points + 40)
        elsewhere = face_error(reader, moved, frames, cache)
    assert errors[0] == errors[1] < elsewhere
    assert cache.computed["face errors"] == 2
