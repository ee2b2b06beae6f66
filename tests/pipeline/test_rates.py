"""At every rate of a camera each source frame is in the result at its own time, and the voice ends with the picture."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import Guidance
from latentsync_core.disk_cache import DiskCache
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter, read_waveform, stream_audio, waveform_blocks
from latentsync_core.models.loading import Models, load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

RATES = {
    "16": Fraction(16),
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "60": Fraction(60),
}
FRAMES, SIZE, MARK = 8, 192, 16
PHONE_MS = (0, 33, 67, 133, 150, 217, 333, 400)  # a phone's variable rate: time stamps in ms
LOSSLESS = EncodeSettings(lossless=True, preset="ultrafast")
SETTINGS = {"steps": 1, "guidance": Guidance(1.0), "length": "video", "encode": LOSSLESS}


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("embedded", device="cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """The voice is heard once for all rates."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    """Small pictures of the demo's face, each marked in its corner with a grey of its own."""
    with VideoReader(CLIP) as reader:
        small = [frame.picture.reformat(SIZE, SIZE, "rgb24").to_ndarray() for frame in reader.frames(0, FRAMES)]
    for index, picture in enumerate(small):
        picture[:MARK, :MARK] = 20 + 20 * index
    return small


def write_clip(path: Path, portraits: list[np.ndarray], fps: Fraction, ticks=None) -> Path:
    """A clip at a constant rate, or with time stamps in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, width=SIZE, height=SIZE, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000) if ticks else 1 / fps
        for index, picture in enumerate(portraits):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = ticks[index] if ticks else index, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path) -> tuple[list[Fraction], np.ndarray, Fraction]:
    """Times of all frames in seconds, their marked corners (frames, 16, 16), and the stated rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        corners = np.stack([frame.to_ndarray(format="gray")[:MARK, :MARK] for frame in frames])
        return [frame.pts * frame.time_base for frame in frames], corners, stream.average_rate


def length_of(path: Path) -> Fraction:
    """Seconds of sound, counted in decoded samples."""
    blocks = list(stream_audio(path))
    return Fraction(sum(block.samples for block in blocks), blocks[0].sample_rate)


@pytest.mark.parametrize("rate", [*RATES, "variable"])
def test_a_run_keeps_every_frame_its_time_and_the_rate(rate, models, portraits, cache, tmp_path):
    ticks = PHONE_MS if rate == "variable" else None
    clip = write_clip(tmp_path / "clip.mp4", portraits, RATES.get(rate, Fraction(20)), ticks)
    report = lipsync(clip, VOICE, tmp_path / "out.mp4", models, Settings(**SETTINGS, cache=DiskCache(cache)))
    before, marks, fps = decoded(clip)
    after, kept, found = decoded(tmp_path / "out.mp4")
    assert after == before and len(after) == FRAMES
    assert np.array_equal(kept, marks) and len(np.unique(marks[:, 8, 8])) == FRAMES
    assert report.output_frames["synced"] == FRAMES and report.output["variable_rate"] == (rate == "variable")
    end = report.output["seconds"]
    assert abs(length_of(tmp_path / "out.mp4") - end) < 0.001
    if rate == "variable":
        assert end == pytest.approx(PHONE_MS[-1] / 1000 + 1 / float(fps), abs=0.001)
    else:
        assert found == fps == RATES[rate] and end == pytest.approx(float(FRAMES / fps))


@pytest.mark.parametrize(
    ("rate", "name", "codec"),
    [("23.976", "long.mp4", "aac"), ("29.97", "long.mov", "alac"), ("60", "long.mkv", "flac")],
)
def test_a_minute_does_not_drift(rate, name, codec, tmp_path, portraits):
    fps = RATES[rate]
    count = round(60 * fps)
    source = write_clip(tmp_path / "clip.mp4", portraits, fps)
    voice = np.tile(read_waveform(VOICE, 8000), 13)[None]  # 70 s
    picture, settings = av.VideoFrame(SIZE, SIZE, "yuv420p"), EncodeSettings(preset="ultrafast", audio_codec=codec)
    with (
        VideoReader(source) as reader,
        VideoWriter(tmp_path / name, reader.info, settings, audio=waveform_blocks(voice, 8000)) as writer,
    ):
        for _ in range(count):
            writer.write(picture)
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == fps
        times = sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None)
    tick = Fraction(1, 1000) if name.endswith(".mkv") else 0  # Matroska counts in milliseconds
    assert len(times) == count
    assert max(abs(time - index / fps) for index, time in enumerate(times)) <= tick / 2
    assert abs(length_of(tmp_path / name) - count / fps) <= Fraction(1, 1000)  # mp4 states its ends in milliseconds
