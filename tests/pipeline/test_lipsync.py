"""Two files in, one file out: counts, rates, samples and every pixel outside the soft mask are the inputs' own."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.disk_cache import DiskCache
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FadeLimits, Seam, alignment_matrices, soft_mask, track_faces
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.embedded import embedded_models
from latentsync_core.models.loading import Models, load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings
from latentsync_core.progress import Callbacks

FAST = {"steps": 1, "guidance": Guidance(1.0)}
LOSSLESS = EncodeSettings(codec="ffv1", audio_codec="pcm")


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("embedded", device="cpu")


@pytest.fixture(scope="module")
def voice(tmp_path_factory) -> Path:
    """The first 0.88 s of the demo's voice: 22 frames at 25 fps, a whole window and a short tail."""
    return first_seconds(VOICE, 0.88, tmp_path_factory.mktemp("voice") / "short.wav")


def first_seconds(recording: Path, seconds: float, path: Path) -> Path:
    """The beginning of a wave file in a file of its own."""
    with wave.open(str(recording)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(seconds * source.getframerate())))
    return path


@pytest.fixture(scope="module")
def lossless(models, voice, tmp_path_factory):
    """One run into a lossless file, shared by the tests that look at its pixels and samples."""
    path = tmp_path_factory.mktemp("lossless") / "out.mkv"
    return path, lipsync(CLIP, voice, path, models, Settings(**FAST, encode=LOSSLESS))


def planes(path: Path, count: int | None = None) -> list[list[np.ndarray]]:
    """Every frame's native planes."""
    with av.open(str(path)) as container:
        frames = [frame for _, frame in zip(range(count or 10**6), container.decode(video=0), strict=False)]
        return [[np.asarray(p).reshape(-1, p.line_size)[:, : p.width] for p in frame.planes] for frame in frames]


def samples(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(blocks, axis=1), container.streams.audio[0].rate


def test_count_rate_and_size_are_the_sources(lossless):
    path, report = lossless
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 25 and (stream.width, stream.height) == (512, 512)
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert len(planes(path)) == 22
    assert report.output_frames == {"written": 22, "synced": 22, "untouched": 0, "faded": 0}


def test_voice_keeps_every_sample_and_its_rate(lossless, voice):
    found, rate = samples(lossless[0])
    expected, expected_rate = samples(voice)
    assert rate == expected_rate == 22050
    assert found.dtype == expected.dtype and np.array_equal(found[:, : expected.shape[1]], expected)
    assert not found[:, expected.shape[1] :].any()  # at most silence up to the end of the last frame


def test_nothing_outside_the_soft_mask_changes_by_a_bit(lossless):
    before, after = planes(CLIP, 22), planes(lossless[0])
    with VideoReader(CLIP) as reader:
        track = track_faces(frame.rgb() for frame in reader.frames(0, 22))
    matrices = alignment_matrices(track.points, 128)
    changed = 0
    for index, matrix in enumerate(matrices):
        touched = soft_mask(matrix, 512, 512, 128) > 0
        cells = touched.reshape(256, 2, 256, 2).any(axis=(1, 3))
        for plane, (old, new) in enumerate(zip(before[index], after[index], strict=True)):
            outside = ~(touched if plane == 0 else cells)
            assert np.array_equal(old[outside], new[outside])
            changed += int((old != new).sum())
    assert changed > 100_000  # and inside, the mouth was redrawn


@pytest.mark.long
def test_overlap_and_seam_run_through_and_a_users_mask_is_obeyed(models, voice, short_clip, tmp_path):
    half = np.zeros((512, 512), np.uint8)
    half[:, 256:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    for number, mask in enumerate(("mesh", tmp_path / "half.png")):
        out, seam = tmp_path / f"{number}.mkv", Seam(mask, feather=2, grow=1, color_match="off")
        report = lipsync(short_clip, voice, out, models, Settings(**FAST, overlap=4, seam=seam, encode=LOSSLESS))
        assert report.output_frames["synced"] == 22 and report.output["windows"] == 2
        source = planes(short_clip, 10)
        after = planes(out)
        assert all((after[index][0] != source[index][0]).any() for index in range(10))
    for index in range(10):
        for old, new in zip(source[index], after[index], strict=True):
            middle = old.shape[1] // 2
            assert np.array_equal(old[:, :middle], new[:, :middle])


def test_report_says_what_was_done_and_is_json(lossless, voice):
    path, report = lossless
    told = json.loads(report.to_json())
    assert told["source_frames"]["states"] == [{"first": 0, "last": 21, "state": "detected"}]
    assert told["settings"]["resolution"] == 128 and told["settings"]["guidance"]["scale"] == 1.0
    assert told["output"]["path"] == str(path) and told["output"]["fps"] == 25 and told["output"]["windows"] == 2
    assert set(told["stages"]) == {"voice", "faces", "encode", "sample", "write"}
    assert told["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]  # a build may name its hardware
    assert told["inputs"]["audio"]["sample_rate"] == 22050


@pytest.mark.long
def test_the_same_seed_gives_the_same_file_and_another_does_not(lossless, models, voice, tmp_path):
    again, other = tmp_path / "again.mkv", tmp_path / "other.mkv"
    lipsync(CLIP, voice, again, models, Settings(**FAST, encode=LOSSLESS))
    assert again.read_bytes() == lossless[0].read_bytes()
    lipsync(CLIP, voice, other, models, Settings(**FAST, encode=LOSSLESS, seed=2))
    assert other.read_bytes() != again.read_bytes()


@pytest.mark.long
def test_the_default_output_plays_anywhere(models, voice, tmp_path):
    report = lipsync(CLIP, voice, tmp_path / "out.mp4", models, Settings(**FAST))
    with av.open(str(tmp_path / "out.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 22050, 1)
        assert video.average_rate == 25 and sum(1 for _ in container.decode(video=0)) == 22
    assert report.warnings == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "frames", "rate"),
    [
        ({"rate": Fraction(30)}, 26, 30),
        ({"length": "video"}, 10, 25),
        ({"extend": "none"}, 10, 25),
        ({"extend": "loop"}, 22, 25),
        ({"extend": "pingpong"}, 22, 25),
        ({"extend": "hold", "window": 8}, 22, 25),
    ],
)
def test_lengths_and_rates(models, voice, short_clip, tmp_path, options, frames, rate):
    lipsync(short_clip, voice, tmp_path / "out.mp4", models, Settings(**FAST, **options))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == rate
        assert sum(1 for _ in container.decode(video=0)) == frames
        assert container.duration / av.time_base == pytest.approx(frames / rate, abs=0.05)


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory) -> Path:
    """The demo clip's first ten frames, lossless."""
    return cut_clip(tmp_path_factory.mktemp("clip") / "ten.mkv", range(10))


def cut_clip(path: Path, indices, blank=()) -> Path:
    """Some frames of the demo clip in a file of their own; those in `blank` become plain grey."""
    with av.open(str(path), "w") as target, VideoReader(CLIP) as reader:
        stream = target.add_stream("ffv1", rate=25, width=512, height=512, pix_fmt="yuv420p")
        for position, frame in enumerate(reader.frames_at(indices)):
            picture = frame.picture
            if position in blank:
                picture = av.VideoFrame.from_ndarray(np.full((512, 512, 3), 90, np.uint8)).reformat(format="yuv420p")
            picture.pts, picture.time_base = position, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


@pytest.mark.long
def test_frames_without_a_face_pass_untouched(models, voice, tmp_path):
    clip = cut_clip(tmp_path / "gap.mkv", range(24), blank=range(4, 17))
    report = lipsync(clip, voice, tmp_path / "out.mkv", models, Settings(**FAST, encode=LOSSLESS))
    states = report.source_frames["states"]
    assert [(run["first"], run["last"], run["state"]) for run in states] == [
        (0, 3, "detected"),
        (4, 16, "absent"),
        (17, 21, "detected"),
    ]
    assert report.output_frames == {"written": 22, "synced": 9, "untouched": 13, "faded": 0}
    before, after = planes(clip, 22), planes(tmp_path / "out.mkv")
    for index in range(4, 17):
        assert all(np.array_equal(a, b) for a, b in zip(before[index], after[index], strict=True))


@pytest.mark.long
def test_the_report_counts_faded_frames_and_the_reference_blend_fades_none(models, voice, short_clip, tmp_path):
    strict = FadeLimits(pitch=0)  # the portrait looks a few degrees down: partly faded throughout
    for blend, faded in (("mouth", 22), ("reference", 0)):
        settings = Settings(**FAST, blend=blend, fade=strict)
        report = lipsync(short_clip, voice, tmp_path / f"{blend}.mp4", models, settings)
        assert report.output_frames["faded"] == faded


@pytest.mark.long
def test_nan_in_half_precision_is_repaired_in_float32_and_said(voice, short_clip, tmp_path):
    unet, codec, whisper = embedded_models()
    unet = unet.half()
    with torch.no_grad():  # beyond float16's 65504, not beyond float32
        unet.conv_in.weight *= 3e4
        unet.conv_in.bias += 6e4
        unet.down_blocks[0].resnets[0].conv2.bias += 6e4
    report = lipsync(
        short_clip, voice, tmp_path / "out.mp4", Models(unet, codec, whisper, resolution=128), Settings(**FAST)
    )
    assert any("float32" in warning and "NaN" in warning for warning in report.warnings)
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.long
def test_nan_that_stays_is_refused_and_nothing_is_written(voice, short_clip, tmp_path):
    unet, codec, whisper = embedded_models()
    with torch.no_grad():
        unet.conv_out.bias += float("nan")
    with pytest.raises(LatentSyncError, match="NaN .* even in float32"):
        lipsync(short_clip, voice, tmp_path / "out.mp4", Models(unet, codec, whisper, resolution=128), Settings(**FAST))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("stage", ["voice", "faces", "encode", "sample", "write"])
def test_cancel_in_any_stage_leaves_nothing(models, voice, short_clip, tmp_path, stage):
    current = []

    def cancel():
        if current and current[-1] == stage:
            raise KeyboardInterrupt

    callbacks = Callbacks(on_progress=lambda name, done, total: current.append(name), check_cancelled=cancel)
    with pytest.raises(KeyboardInterrupt):
        out = tmp_path / "out.mp4"
        lipsync(short_clip, voice, out, models, Settings(**FAST), callbacks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_progress_reaches_the_end_of_every_stage(models, voice, short_clip, tmp_path):
    seen: dict[str, list] = {}
    lipsync(
        short_clip,
        voice,
        tmp_path / "out.mp4",
        models,
        Settings(**FAST),
        Callbacks(on_progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total))),
    )
    assert list(seen) == ["voice", "faces", "encode", "sample", "write"]
    for name, calls in seen.items():
        assert calls[0][0] == 0, name  # a stage says that it begins
        assert calls[-1][0] == calls[-1][1], name
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.long
def test_features_are_cached_between_runs(models, voice, short_clip, tmp_path):
    encoded = []
    for run in range(2):
        settings = Settings(**FAST, encode=LOSSLESS, cache=DiskCache(tmp_path / "cache"))
        out = tmp_path / f"{run}.mkv"

        def count_blocks(stage: str, done: int, total: int, run=run) -> None:
            if stage == "voice" and done:
                encoded.append(run)

        lipsync(short_clip, voice, out, models, settings, Callbacks(on_progress=count_blocks))
    assert encoded == [0]  # one block, in the first run only
    assert (tmp_path / "0.mkv").read_bytes() == (tmp_path / "1.mkv").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(("name", "frames", "rate"), [("demo1", 100, 25), ("demo3", 120, 30)])
def test_real_footage_keeps_count_rate_and_faces(models, footage, tmp_path, name, frames, rate):
    report = lipsync(
        footage / f"{name}_video.mp4",
        first_seconds(footage / f"{name}_audio.wav", 4, tmp_path / "voice.wav"),
        tmp_path / "out.mp4",
        models,
        Settings(**FAST, encode=EncodeSettings(preset="ultrafast", crf=30)),
    )
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == rate
        assert sum(1 for packet in container.demux(video=0) if packet.size) == frames
    assert report.output_frames["synced"] == frames
    assert report.source_frames["detected"] + report.source_frames["interpolated"] == frames
