"""An interrupted run that is resumed ends in the same bytes, whatever is written; what is finished is left alone."""

import os
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.resume.run_folder import folder_beside
from latentsync_core.pipeline.settings import Settings
from latentsync_core.progress import Callbacks

pytestmark = pytest.mark.long

FAST = Settings(steps=1, guidance=Guidance(1.0), window=4, encode=EncodeSettings(preset="ultrafast"))
FRAMES = 12  # of output: three segments of 4


@pytest.fixture(scope="module")
def models():
    return load_models("embedded", device="cpu")


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr("latentsync_core.generators.segments.SEGMENT_FRAMES", 4)


@pytest.fixture(autouse=True)
def overlapping_stages(monkeypatch):
    """As beside a card: an interrupted run then holds unfinished work in every stage."""
    monkeypatch.setattr("latentsync_core.pipeline.generate.overlap_pays", lambda device: True)


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Seven frames of the demo clip at a constant and at a variable rate, and a voice for twelve."""
    folder = tmp_path_factory.mktemp("media")
    stamps = [Fraction(stamp, 1000) for stamp in (0, 40, 110, 120, 160, 240, 280)]
    lossless = EncodeSettings(codec="ffv1")
    with VideoReader(CLIP) as reader:
        constant = VideoWriter(folder / "constant.mkv", reader.info, lossless)
        variable = VideoWriter(folder / "variable.mkv", reader.info, lossless, times_given=True)
        with constant, variable:
            for frame, stamp in zip(reader.frames(0, 7), stamps, strict=True):
                constant.write(frame.picture)
                variable.write(frame.picture, stamp)
    with wave.open(str(VOICE)) as source, wave.open(str(folder / "voice.wav"), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(FRAMES / 25 * source.getframerate())))
    return folder / "constant.mkv", folder / "variable.mkv", folder / "voice.wav"


class StopError(Exception):
    """What a test's callback raises."""


def stop_after(out: Path, finished: int) -> Callbacks:
    """What stops a run as soon as so many of its segments are finished."""

    def check() -> None:
        if len(list(folder_beside(out).glob("segment-*.nut"))) == finished:
            raise StopError

    return Callbacks(check_cancelled=check)


@pytest.mark.parametrize(
    ("clip", "name", "encode"),
    [
        (0, "out.mp4", EncodeSettings()),  # medium: pictures are decoded in another order than shown
        (1, "out.mkv", EncodeSettings()),
        (1, "out.mp4", EncodeSettings(codec="hevc", preset="ultrafast", lossless=True)),
        (0, "out.mkv", EncodeSettings(codec="ffv1", audio_codec="pcm")),
    ],
)
def test_resumed_bytes_are_the_undisturbed_ones(models, media, tmp_path, clip, name, encode):
    settings = replace(FAST, encode=encode)
    (tmp_path / "straight").mkdir()
    straight, out = tmp_path / "straight" / name, tmp_path / name
    told = lipsync(media[clip], media[2], straight, models, settings)
    assert told.segments == {"total": 3, "computed": 3, "reused": 0}
    with pytest.raises(StopError):
        lipsync(media[clip], media[2], out, models, settings, stop_after(out, 1))
    first = folder_beside(out) / "segment-00001.nut"
    with av.open(str(first)) as part:  # a segment plays on its own
        assert sum(1 for _ in part.decode(video=0)) == 4
    told = lipsync(media[clip], media[2], out, models, replace(settings, resume=True))
    assert told.segments == {"total": 3, "computed": 2, "reused": 1}
    assert out.read_bytes() == straight.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "straight"])
    assert told.output_frames["synced"] == told.output_frames["written"]
    stamps, decoded = shown_at(out)
    assert stamps == sorted(set(stamps)) and len(stamps) == decoded == told.output_frames["written"]
    if clip == 1:  # forth, back, and each frame as long as in the source
        milliseconds = [round(stamp * 1000) for stamp in stamps]
        assert milliseconds[:7] == [0, 40, 110, 120, 160, 240, 280]


def test_windows_that_two_segments_share_are_the_same_after_a_resume(models, media, tmp_path, monkeypatch):
    monkeypatch.setattr("latentsync_core.diffusion.windows.GROUP_FRAMES", 6)
    settings = replace(FAST, overlap=2, encode=EncodeSettings(codec="ffv1"))
    straight, out, whole = (tmp_path / name for name in ("straight.mkv", "out.mkv", "whole.mkv"))
    told = lipsync(media[0], media[2], straight, models, settings)
    assert told.segments == {"total": 2, "computed": 2, "reused": 0} and told.output["windows"] == 5
    with pytest.raises(StopError):
        lipsync(media[0], media[2], out, models, settings, stop_after(out, 1))
    lipsync(media[0], media[2], out, models, replace(settings, resume=True))
    assert out.read_bytes() == straight.read_bytes()
    monkeypatch.setattr("latentsync_core.diffusion.windows.GROUP_FRAMES", 128)
    told = lipsync(media[0], media[2], whole, models, settings)
    assert told.segments["total"] == 1
    with av.open(str(whole)) as one, av.open(str(straight)) as two:
        pairs = zip(one.decode(video=0), two.decode(video=0), strict=True)
        apart = [np.abs(a.to_ndarray().astype(int) - b.to_ndarray()).mean() for a, b in pairs]
    assert (
        len(apart) == FRAMES and max(apart) < 1e-4
    )  # grey levels; segments that shared no windows would be 1e-3 apart


def shown_at(path: Path) -> tuple[list[Fraction], int]:
    """Seconds at which the pictures of a file are shown, in that order, and how many decode."""
    with av.open(str(path)) as container:
        pictures = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    return pictures, len(pictures)


def test_faces_shown_again_get_the_same_latents_after_a_resume(models, media, tmp_path, monkeypatch):
    """The output goes back over the source's seven frames: the third segment shows faces of the first two."""
    straight, out = tmp_path / "straight.mkv", tmp_path / "out.mkv"
    settings = replace(FAST, encode=EncodeSettings(codec="ffv1", audio_codec="pcm"))
    lipsync(media[0], media[2], straight, models, settings)
    with pytest.raises(StopError):
        lipsync(media[0], media[2], out, models, settings, stop_after(out, 2))
    assert len(list(folder_beside(out).glob("*.nut"))) == 2
    lipsync(media[0], media[2], out, models, replace(settings, resume=True))
    assert out.read_bytes() == straight.read_bytes()
    monkeypatch.setattr(
        "latentsync_core.generators.latent_cache.KEPT_BYTES", 0
    )  # nothing is kept: all is encoded again
    lipsync(media[0], media[2], tmp_path / "flat.mkv", models, settings)
    assert (tmp_path / "flat.mkv").read_bytes() == straight.read_bytes()


@pytest.fixture
def interrupted(models, media, tmp_path) -> tuple[Path, Path]:
    """An output of which one segment of three is finished, and the folder with it."""
    out = tmp_path / "out.mp4"
    with pytest.raises(StopError):
        lipsync(media[0], media[2], out, models, FAST, stop_after(out, 1))
    return out, folder_beside(out)


def test_what_is_there_is_refused_kept_and_started_anew_only_when_asked(models, media, interrupted):
    out, folder = interrupted
    content = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(content) == {"run.json", "track.npz", "segment-00001.nut", "segment-00001.json"}
    refusals = {
        "1 of 3 segments of an unfinished run are there; add --resume": FAST,
        r"steps 1, now 2\)": replace(FAST, steps=2, resume=True),
        r"reuse 1, now 3\)": replace(FAST, reuse=3, resume=True),
        r"guidance scale 1.0, now 1.5; seed 1247, now 5\)": replace(FAST, guidance=Guidance(1.5), seed=5, resume=True),
    }
    for said, settings in refusals.items():
        with pytest.raises(LatentSyncError, match=said):
            lipsync(media[0], media[2], out, models, settings)
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == content
    with pytest.raises(LatentSyncError, match="another video"):
        lipsync(media[1], media[2], out, models, replace(FAST, resume=True))
    told = lipsync(media[0], media[2], out, models, replace(FAST, overwrite=True))
    assert told.segments["reused"] == 0 and not folder.exists()


def test_a_damaged_segment_is_made_again(models, media, interrupted, tmp_path):
    out, folder = interrupted
    part = folder / "segment-00001.nut"
    os.truncate(part, part.stat().st_size // 2)
    told = lipsync(media[0], media[2], out, models, replace(FAST, resume=True))
    assert told.segments["reused"] == 0 and any("damaged" in warning for warning in told.warnings)
    lipsync(media[0], media[2], tmp_path / "straight.mp4", models, FAST)
    assert out.read_bytes() == (tmp_path / "straight.mp4").read_bytes()


def test_without_anything_to_resume_it_just_starts(models, media, tmp_path):
    told = lipsync(media[0], media[2], tmp_path / "out.mp4", models, replace(FAST, resume=True))
    assert told.segments == {"total": 3, "computed": 3, "reused": 0}


def test_a_folder_of_somebody_else_is_left_alone(models, media, tmp_path):
    folder = tmp_path / "out.mp4.parts"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(LatentSyncError, match="holds 'diary.txt'; move it away"):
        lipsync(media[0], media[2], tmp_path / "out.mp4", models, replace(FAST, overwrite=True))
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


def test_the_longest_name_has_a_folder_too(tmp_path):
    for name in ("a" * 251 + ".mp4", "影" * 83 + ".mp4"):
        folder_beside(tmp_path / name).mkdir()
    assert folder_beside(tmp_path / "clip.mp4").name == "clip.mp4.parts"


def test_the_forecast_changes_nothing_and_comes_near(models, media, tmp_path):
    told, plain_out, out = [], tmp_path / "plain.mp4", tmp_path / "out.mp4"
    lipsync(media[0], media[2], plain_out, models, FAST)
    report = lipsync(media[0], media[2], out, models, FAST, Callbacks(on_estimate=told.append))
    assert out.read_bytes() == plain_out.read_bytes()
    before, after = told
    assert before.work.frames == after.work.frames == FRAMES and before.work.windows == after.work.windows == 3
    assert before.work.read == 7 and after.work.faces == 7 and before.vram is None
    actual = report.forecast["actual"]
    assert 0.5 < before.ram / actual["ram"] < 2
    assert 0.1 < before.seconds / actual["seconds"] < 10  # a smoke test: on a quiet machine it is within 1.5
