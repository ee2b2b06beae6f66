"""A second run finds what does not depend on guidance or seed, writes the same bytes, and never what is another's."""

import logging
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance, plan_windows
from latentsync_core.digests import known_digest
from latentsync_core.disk_cache import DiskCache
from latentsync_core.faces import FaceState, FaceTrack, parse_face
from latentsync_core.faces.tracking.search import TrackingSettings
from latentsync_core.generators.aligned_faces import Alignment
from latentsync_core.generators.clip import Clip
from latentsync_core.generators.face_latents import FaceMoments
from latentsync_core.generators.moments_cache import CachedMoments, cached_moments
from latentsync_core.generators.segments import plan_segments
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
from latentsync_core.models.loading import Models, load_models
from latentsync_core.models.vae import AutoencoderCodec, Moments
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.plan import TrackedSource
from latentsync_core.pipeline.run_cache import cached_track, track_key
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

FRAMES = 4
RUN = Settings(steps=1, window=2, length="shortest", encode=EncodeSettings(codec="ffv1"))


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("embedded", device="cpu")


@pytest.fixture
def clip(tmp_path) -> Path:
    """The first four frames of the demo clip."""
    return write_clip(tmp_path / "clip.mkv", first=0)


def write_clip(path: Path, first: int) -> Path:
    with VideoReader(CLIP) as reader, VideoWriter(path, reader.info, EncodeSettings(codec="ffv1")) as writer:
        for frame in reader.frames(first, first + FRAMES):
            writer.write(frame.picture)
    return path


@pytest.mark.long
def test_another_guidance_or_seed_only_denoises_and_the_bytes_are_those_without_a_cache(models, clip, tmp_path):
    cache = DiskCache(tmp_path / "cache")
    lipsync(clip, VOICE, tmp_path / "first.mkv", models, replace(RUN, cache=cache))
    other = replace(RUN, guidance=Guidance(2.0), seed=7)
    again = lipsync(clip, VOICE, tmp_path / "again.mkv", models, replace(other, cache=cache))
    plain = lipsync(clip, VOICE, tmp_path / "plain.mkv", models, other)
    assert (tmp_path / "again.mkv").read_bytes() == (tmp_path / "plain.mkv").read_bytes()
    assert (tmp_path / "again.mkv").read_bytes() != (tmp_path / "first.mkv").read_bytes()
    assert {kind: again.cache["found"][kind] for kind in ("features", "face tracks", "face latents")} == {
        "features": 1,
        "face tracks": 1,
        "face latents": 2,
    }
    assert set(again.cache["computed"]) <= {"digests"}  # of a file as young as this one none is remembered
    assert again.to_dict()["source_frames"] == plain.to_dict()["source_frames"]
    assert again.warnings == plain.warnings and plain.cache == {}


@pytest.mark.long
def test_the_forecast_counts_only_what_no_earlier_run_has_left(models, clip, tmp_path):
    settings, told = replace(RUN, guidance=Guidance(1.0), cache=DiskCache(tmp_path / "cache")), []
    callbacks = Callbacks(on_estimate=told.append)
    for name in ("first.mkv", "again.mkv"):
        report = lipsync(clip, VOICE, tmp_path / name, models, settings, callbacks)
    first, tracked, again, rest = told
    assert first.work.found == tracked.work.found == frozenset() and again.work.found == {"voice", "faces"}
    assert again.stages["voice"] == again.stages["faces"] == 0
    assert tracked.work.faces == FRAMES and rest.work.faces == 0 and rest.stages["encode"] == 0
    assert rest.work.windows == tracked.work.windows == 2
    assert report.cache["found"]["face tracks"] == 1, "looking ahead is not counted"


@pytest.mark.long
def test_another_video_under_the_same_name_and_a_damaged_entry_are_computed_anew(models, clip, tmp_path, caplog):
    settings = replace(RUN, guidance=Guidance(1.0), overwrite=True, cache=DiskCache(tmp_path / "cache"))
    lipsync(clip, VOICE, tmp_path / "out.mkv", models, settings)
    write_clip(tmp_path / "other.mkv", first=20)
    shutil.copystat(clip, tmp_path / "other.mkv")
    shutil.move(tmp_path / "other.mkv", clip)
    report = lipsync(clip, VOICE, tmp_path / "out.mkv", models, settings)
    assert report.cache["found"] == {"features": 1} and report.cache["computed"]["face latents"] == 2
    expected = (tmp_path / "out.mkv").read_bytes()
    for path in tmp_path.glob("cache/face*/*"):
        content = bytearray(path.read_bytes())
        content[-9] ^= 0xFF
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        report = lipsync(clip, VOICE, tmp_path / "out.mkv", models, settings)
    assert report.cache["computed"]["face tracks"] == 1 and report.cache["computed"]["face latents"] == 2
    assert (tmp_path / "out.mkv").read_bytes() == expected
    assert sum("computing them again" in warning for warning in report.warnings) == 3


def track_of(seconds: int, complete: bool, place: float = 0.0) -> TrackedSource:
    """A face in one frame a second."""
    mesh = np.full((seconds, 468, 3), place, np.float32)
    boxes, scores = np.zeros((seconds, 4), np.float32), np.ones(seconds, np.float32)
    states = np.full(seconds, FaceState.DETECTED, np.uint8)
    track = FaceTrack(mesh[:, :3, :2], mesh, boxes, scores, states, (1,), 480, 640, scores)
    return TrackedSource(track, tuple(map(Fraction, range(seconds))), complete, {"damaged": 0})


def test_a_track_of_the_whole_video_serves_every_voice_that_outlasts_it_and_no_shorter_one(tmp_path):
    cache, key = DiskCache(tmp_path), {"video": "digest"}
    asked = []

    def compute(tracked: TrackedSource):
        return lambda: asked.append(tracked) or tracked

    whole = cached_track(cache, key, Fraction(9), compute(track_of(5, complete=True)))
    for needed in (None, Fraction(7), Fraction(9)):
        found = cached_track(cache, key, needed, compute(track_of(1, complete=True)))
        assert found.times == whole.times and found.complete and found.damage == {"damaged": 0}
        assert found.track.cuts == (1,) and np.array_equal(found.track.mesh, whole.track.mesh)
    short = cached_track(cache, key, Fraction(3), compute(track_of(3, complete=False)))
    assert len(asked) == 2 and len(short.times) == 3
    again = cached_track(cache, key, Fraction(3), compute(track_of(1, complete=False)))
    assert len(asked) == 2 and len(again.times) == 3 and not again.complete


def test_a_cached_result_repeats_the_warnings_of_its_making(tmp_path, caplog):
    cache = DiskCache(tmp_path)

    def warn() -> TrackedSource:
        logging.getLogger("latentsync_core.media").warning("two frames are damaged")
        return track_of(2, complete=True)

    for _ in range(2):
        caplog.clear()
        cached_track(cache, {"video": "digest"}, None, warn)
        assert [record.getMessage() for record in caplog.records] == ["two frames are damaged"]


def test_the_key_of_a_track_holds_video_face_and_settings(clip, tmp_path):
    cache, tracking = DiskCache(tmp_path / "cache"), TrackingSettings()

    def key(face: str = "auto", tracking: TrackingSettings = tracking, video: Path = clip, **parts) -> str:
        return repr(track_key(video, cache, parse_face(face), tracking, **parts))

    copied = shutil.copy(clip, tmp_path / "another name.mkv")
    assert key() == key(video=Path(copied))
    other = [
        key("left"),
        key("1"),
        key("0.5,0.5"),
        key("1,1"),
        key(tracking=replace(tracking, max_gap=3)),
        key(missing="hold"),
        key(video=CLIP),
    ]
    assert len({key(), *other}) == len(other) + 1


class Video:
    """The moments of one batch, and whether they had to be computed."""

    def __init__(self, folder: Path, path: Path):
        self.cache, self.path = DiskCache(folder), path

    def is_new(self, codec, resolution: int = 64, shift: float = 0.0, batch=(0, 2)) -> bool:
        matrices = np.zeros((3, 2, 3)) + shift
        computed = []

        def compute() -> FaceMoments:
            computed.append(True)
            moments = Moments(torch.zeros(len(batch), 4, 8, 8), torch.ones(len(batch), 4, 8, 8))
            return FaceMoments(moments, moments)

        alignment = Alignment(matrices, resolution)
        cached = CachedMoments(self.cache, self.path, alignment, codec, torch.device("cpu"), "lower face")
        cached.of(batch, compute)
        return bool(computed)


@pytest.fixture
def codec() -> AutoencoderCodec:
    """The embedded autoencoder, the test's own."""
    return load_models("embedded", device="cpu").codec


def test_moments_are_those_of_one_vae_precision_and_alignment(codec, clip, tmp_path):
    video = Video(tmp_path / "cache", clip)
    assert video.is_new(codec) and not video.is_new(codec)
    assert video.is_new(codec, resolution=128) and video.is_new(codec, shift=0.5) and video.is_new(codec, batch=(0, 1))
    assert not video.is_new(codec)
    with torch.no_grad():
        next(codec.autoencoder.parameters()).mul_(1.01)
    assert video.is_new(codec)
    codec.autoencoder.half()
    assert video.is_new(codec)


def test_moments_that_half_precision_could_not_give_leave_the_vae_in_float32_again(codec, clip, tmp_path):
    moments = Moments(torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8))
    alignment, cpu = Alignment(np.zeros((1, 2, 3)), 64), torch.device("cpu")

    def fails_in_half() -> FaceMoments:
        codec.autoencoder.float()
        return FaceMoments(moments, moments)

    codec.autoencoder.half()
    before = {name: tensor.clone() for name, tensor in codec.autoencoder.state_dict().items()}
    for _ in range(2):
        codec.autoencoder.half()
        codec.autoencoder.load_state_dict(before)
        cache = DiskCache(tmp_path / "cache")
        CachedMoments(cache, clip, alignment, codec, cpu, "lower face").of([0], fails_in_half)
        assert codec.autoencoder.dtype == torch.float32
    assert cache.found["face latents"] == 1


def test_a_clip_that_would_fill_the_cache_is_left_out(codec, clip, tmp_path):
    count, cpu = 1000, torch.device("cpu")  # faces at 64 x 64 x 16 numbers: 262 MB
    segments = plan_segments(count, plan_windows([True] * count, (), 16, 0))
    for limit, kept in ((530_000_000, True), (510_000_000, False)):
        settings = Settings(cache=DiskCache(tmp_path / "cache", limit))
        told = Clip(
            clip, None, Alignment(np.zeros((count, 2, 3)), 512), range(count), (), None, segments, None, settings
        )
        found = cached_moments(told, codec, cpu, resolution=512, hidden="lower face")
        assert (found is not None) is kept


def test_a_files_digest_is_remembered_until_the_file_is_touched(clip, tmp_path, monkeypatch):
    cache = DiskCache(tmp_path / "cache")
    monkeypatch.setattr("latentsync_core.digests.SETTLED_SECONDS", 0)
    first = known_digest(clip, cache)
    assert known_digest(clip, cache) == first and cache.found == {"digests": 1}
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    times = clip.stat()
    clip.write_bytes(content)
    os.utime(clip, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps its times
    assert known_digest(clip, cache) != first
