"""Two people with two voices by chaining runs, and what becomes of frames in which the chosen face is missing."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.loading import Models, load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings
from latentsync_core.progress import Callbacks

pytestmark = pytest.mark.long

FAST = {"steps": 1, "guidance": Guidance(1.0), "encode": EncodeSettings(codec="ffv1", audio_codec="pcm")}
FRAMES, WIDTH, HEIGHT = 24, 640, 320
HALF = 115  # pixels beside a head's middle that its mouth mask never leaves


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("embedded", device="cpu")


def cut_voice(path: Path, start: float, seconds: float) -> Path:
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(round(start * source.getframerate()))
        target.writeframes(source.readframes(round(seconds * source.getframerate())))
    return path


def write(path: Path, pictures: list[np.ndarray]) -> Path:
    """RGB pictures as a lossless clip at 25 frames per second."""
    with av.open(str(path), "w") as target:
        height, width = pictures[0].shape[:2]
        stream = target.add_stream("ffv1", rate=25, width=width, height=height, pix_fmt="yuv420p")
        for index, rgb in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb)).reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def demo_frames(count: int) -> list[np.ndarray]:
    with VideoReader(CLIP) as reader:
        return [frame.rgb() for frame in reader.frames(0, count)]


def first_x(index: int) -> int:
    return 160 + 14 * index


def second_x(index: int) -> int:
    return 480 - 14 * index


@pytest.fixture(scope="module")
def crossing(tmp_path_factory) -> Path:
    """The demo's portrait twice: the first walks to the right in front of the second, which walks to the left."""
    pictures = []
    for index, frame in enumerate(demo_frames(FRAMES)):
        small = np.asarray(Image.fromarray(frame).resize((HEIGHT, HEIGHT)))
        rows, columns = np.mgrid[:HEIGHT, :HEIGHT]
        shown = ((columns - HEIGHT / 2) / 95) ** 2 + ((rows - HEIGHT / 2) / 150) ** 2 < 1
        canvas = np.full((HEIGHT, WIDTH + HEIGHT, 3), 90, np.uint8)
        for head, x in ((small[:, ::-1], second_x(index)), (small, first_x(index))):
            mask = shown if head is small else shown[:, ::-1]
            canvas[:, x : x + HEIGHT][mask] = head[mask]
        pictures.append(canvas[:, HEIGHT // 2 : HEIGHT // 2 + WIDTH])
    return write(tmp_path_factory.mktemp("crossing") / "crossing.mkv", pictures)


def brightness(path: Path) -> np.ndarray:
    """(frames, height, width) uint8, as stored."""
    with av.open(str(path)) as container:
        planes = [frame.planes[0] for frame in container.decode(video=0)]
        return np.stack([np.asarray(plane).reshape(-1, plane.line_size)[:, :WIDTH] for plane in planes])


def samples(path: Path) -> np.ndarray:
    """(samples,) float32."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp")
        blocks = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate([block.to_ndarray() for block in blocks], 1)[0]


def test_two_people_speak_with_two_voices_by_chaining(models, crossing, tmp_path):
    one, two = cut_voice(tmp_path / "one.wav", 0, 0.96), cut_voice(tmp_path / "two.wav", 1.5, 0.6)
    lipsync(crossing, one, tmp_path / "first.mkv", models, Settings(**FAST, face="1"))
    settings = Settings(**FAST, face="2", sound="mix", length="video")
    report = lipsync(tmp_path / "first.mkv", two, tmp_path / "both.mkv", models, settings)
    before, first, both = (brightness(path) for path in (crossing, tmp_path / "first.mkv", tmp_path / "both.mkv"))
    assert before.shape == first.shape == both.shape == (FRAMES, HEIGHT, WIDTH)
    columns = np.arange(WIDTH)
    for old, new, x in ((before, first, first_x), (first, both, second_x)):
        changed = (old != new).any(axis=1)  # (frames, columns)
        for index in range(FRAMES):
            assert not changed[index, np.abs(columns - x(index)) > HALF].any(), index
        apart = [*range(6), *range(FRAMES - 6, FRAMES)]
        assert changed[apart].any(axis=1).all()
    hidden = [index for index in range(FRAMES) if (first[index] == both[index]).all()]
    assert hidden and all(abs(first_x(index) - second_x(index)) < 160 for index in hidden)
    assert report.output_frames["untouched"] >= 1

    voices = np.zeros(len(samples(tmp_path / "both.mkv")), np.float32)
    for path in (one, two):
        spoken = samples(path)
        voices[: len(spoken)] += spoken[: len(voices)]
    np.testing.assert_allclose(samples(tmp_path / "both.mkv"), voices, atol=1e-6)


def test_a_face_that_nobody_has_is_refused_before_anything_is_written(models, crossing, tmp_path):
    voice = cut_voice(tmp_path / "voice.wav", 0, 0.4)
    with pytest.raises(LatentSyncError, match=r"crossing\.mkv: Nobody is meant by the face '7'; found were person 1"):
        lipsync(crossing, voice, tmp_path / "out.mkv", models, Settings(**FAST, face="7"))
    assert [path.name for path in tmp_path.iterdir()] == ["voice.wav"]


# Missing faces


@pytest.fixture(scope="module")
def gap(tmp_path_factory) -> Path:
    """Frames 5 to 17 of 22 do not show the face, which the demo's portrait then has where it had it before."""
    pictures = demo_frames(22)
    for index in range(5, 18):
        pictures[index] = pictures[index].copy()
        pictures[index][140:330, 170:350] = 120
    return write(tmp_path_factory.mktemp("gap") / "gap.mkv", pictures)


def run_gap(models, gap, tmp_path, **options):
    voice = cut_voice(tmp_path / "voice.wav", 0, 0.88)
    return lipsync(gap, voice, tmp_path / "out.mkv", models, Settings(**FAST, **options))


def test_pass_leaves_them_untouched_and_the_report_says_when(models, gap, tmp_path):
    report = run_gap(models, gap, tmp_path)
    told = json.loads(report.to_json())["output_times"]
    assert told["untouched"] == [{"first": 5, "last": 17, "start": 0.2, "end": 0.72}]
    assert [(t["first"], t["last"]) for t in told["synced"]] == [(0, 4), (18, 21)]
    before, after = brightness(gap), brightness(tmp_path / "out.mkv")
    assert (before[5:18] == after[5:18]).all() and (before[2] != after[2]).any()


def test_hold_syncs_on_at_the_last_known_place(models, gap, tmp_path):
    report = run_gap(models, gap, tmp_path, missing="hold")
    assert report.source_frames["held"] == 13 and report.output_frames["untouched"] == 0
    assert report.output_times["untouched"] == []
    before, after = brightness(gap), brightness(tmp_path / "out.mkv")
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def stages_into(seen: list[str]) -> Callbacks:
    return Callbacks(on_progress=lambda stage, done, total: seen.append(stage))


def test_stop_refuses_before_any_work_and_lists_the_times(models, gap, tmp_path):
    stages = []
    voice = cut_voice(tmp_path / "voice.wav", 0, 0.88)
    with pytest.raises(LatentSyncError, match=r"gap\.mkv: The face is missing in 13 of 22 frames, at 0:00\.2-0:00\.7;"):
        lipsync(gap, voice, tmp_path / "out.mkv", models, Settings(**FAST, missing="stop"), stages_into(stages))
    assert list(dict.fromkeys(stages)) == ["voice", "faces"] and [path.name for path in tmp_path.iterdir()] == [
        "voice.wav"
    ]


@pytest.mark.parametrize("option", [{"missing": "guess"}, {"sound": "loud"}, {"face": "he"}])
def test_words_that_are_none_are_refused_before_any_work(models, gap, tmp_path, option):
    stages = []
    voice = cut_voice(tmp_path / "voice.wav", 0, 0.88)
    with pytest.raises(LatentSyncError, match=f"'{next(iter(option.values()))}'"):
        lipsync(gap, voice, tmp_path / "out.mkv", models, Settings(**FAST, **option), stages_into(stages))
    assert stages == []
