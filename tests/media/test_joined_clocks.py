"""Time stamps that step, repeat or are out of order cost no frame, and move none that has a time of its own."""

import logging
import random
from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
from hurt import hurt_packets, join, remux, restamp

from latentsync_core.media import VideoReader, is_variable
from latentsync_core.media.read.audio import read_waveform
from latentsync_core.media.read.damage import Damage

pytestmark = pytest.mark.long

CODECS = {
    "h264": {"codec": "libx264", "options": {"bf": "2", "g": "12", "preset": "ultrafast", "x264-params": "b-adapt=0"}},
    "mpeg2": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}},
    "no B-frames": {"codec": "libx264", "options": {"bf": "0", "g": "12", "preset": "ultrafast"}},
}
CONSTANT = [Fraction(index, 25) for index in range(200)]


def read(path, backwards=True):
    """Arrays of all frames forwards, after checking that backwards gives the same; and the reader."""
    with VideoReader(path) as reader:
        forwards = [frame.rgb().copy() for frame in reader.frames()]
        for frame in reader.frames_at(range(len(forwards) - 1, -1, -1) if backwards else ()):
            assert (frame.rgb() == forwards[frame.index]).all()
        assert all(a < b for a, b in zip(reader.times, reader.times[1:], strict=False))
        return forwards, reader


def decoded(path):
    """Pictures of a plain decode past errors; without those to which damage gives another size."""
    pictures = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        for packet in container.demux(video=0):
            try:
                pictures += [picture.to_ndarray(format="rgb24") for picture in packet.decode()]
            except av.error.FFmpegError:
                continue
    return [picture for picture in pictures if picture.shape == pictures[0].shape]


def check_joined(path, parts, caplog):
    """All frames of `parts` one after the other at a constant rate, with one warning."""
    with caplog.at_level(logging.WARNING):
        frames, reader = read(path)
    pictures = [picture for part in parts for picture in decoded(part)]
    assert len(frames) == len(pictures)
    assert list(reader.times) == CONSTANT[: len(frames)]
    for frame, picture in zip(frames, pictures, strict=True):  # converted to RGB by another path
        assert np.abs(frame.astype(int) - picture).mean() < 8
    assert reader.damage == Damage() and reader.info.fps == 25
    assert len(caplog.records) == 1 and "the time stamps of its video step" in caplog.text


@pytest.mark.parametrize("kind", CODECS)
def test_transport_streams_joined_end_to_end(kind, make_clip, tmp_path, caplog):
    parts = [make_clip(f"{number}.ts", frames=20 + 3 * number, **CODECS[kind]) for number in range(3)]
    check_joined(join(tmp_path / "joined.ts", *parts), parts, caplog)


@pytest.mark.parametrize("seconds", [[0, 3600], [3600, 0], [0, 12], [0, 7200, 0, 7200], [95000, 1]])
def test_clocks_that_step_ahead_or_wrap(seconds, make_clip, tmp_path, caplog):
    clip, parts = make_clip("part.ts", frames=24, **CODECS["h264"]), []
    for number, offset in enumerate(seconds):
        parts.append(remux(clip, tmp_path / f"{number}.ts", {"output_ts_offset": str(offset)}))
    check_joined(join(tmp_path / "joined.ts", *parts), parts, caplog)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_a_pause_of_hours_in_one_file(extension, make_clip, tmp_path, caplog):
    clip = make_clip("part.mp4", frames=48, **CODECS["h264"])

    def two_hours(packet):
        return round(7200 / packet.time_base) if packet.pts * packet.time_base >= Fraction(24, 25) else 0

    paused = remux(clip, tmp_path / f"paused.{extension}", moved=two_hours)
    check_joined(paused, [clip], caplog)


@pytest.mark.parametrize("seed", range(4))
def test_damage_at_a_join_loses_nothing_uncounted(seed, make_clip, tmp_path, caplog):
    clip = make_clip("part.ts", frames=40, size=(160, 120), **CODECS["h264"])
    whole, data, rng = len(decoded(clip)), clip.read_bytes(), random.Random(seed)
    cut, torn = tmp_path / "cut.ts", tmp_path / "torn.ts"
    cut.write_bytes(data[: round(len(data) * rng.uniform(0.3, 0.9))])
    torn.write_bytes(data[188 * rng.randrange(20, len(data) // 376) :])
    path = join(tmp_path / "joined.ts", cut, torn, clip)
    frames, reader = read(path, backwards=False)  # what decoders conceal is not the same each time
    damage = reader.damage
    assert len(frames) - damage.replaced + damage.dropped >= len(decoded(path)) > whole
    assert "time stamps of its video step" in caplog.text
    assert list(reader.times) == CONSTANT[: len(frames)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("extension", ["avi", "mp4"])
def test_b_frames_whose_stamps_are_out_of_order(codec, extension, make_clip, tmp_path, decode_all, planes_of, caplog):
    path = make_clip("b.avi", frames=25, codec=codec, options={"bf": "2", "g": "12"})
    if extension != "avi":
        path = remux(path, tmp_path / f"b.{extension}")
    with caplog.at_level(logging.WARNING):
        frames, reader = read(path)
    assert len({frame.tobytes() for frame in frames}) == len(frames) == 25
    assert list(reader.times) == CONSTANT[:25] and reader.damage == Damage() and caplog.text == ""
    with VideoReader(path) as again:
        for frame, picture in zip(again.frames(), decode_all(path), strict=True):
            assert all((a == b).all() for a, b in zip(planes_of(frame.picture), planes_of(picture), strict=True))


def test_one_equal_stamp_moves_no_other_frame(make_clip, tmp_path, caplog):
    clip = make_clip("own.mkv", frames=30, codec="mjpeg", pixel_format="yuvj420p")
    stamps = [40 * number for number in (*range(11), *range(10, 29))]
    with caplog.at_level(logging.WARNING):
        frames, reader = read(restamp(clip, tmp_path / "twice.mkv", stamps))
    times = [Fraction(stamp, 1000) for stamp in stamps]
    assert times[:11] + times[12:] == [*reader.times[:11], *reader.times[12:]]
    assert times[10] < reader.times[11] < times[12]
    assert len(caplog.records) == 1 and reader.damage == Damage() and len(frames) == 30


@pytest.mark.parametrize("kind", ["mjpeg", "h264"])
@pytest.mark.parametrize("seed", range(6))
def test_any_stamps_keep_every_picture_in_its_order(seed, kind, make_clip, tmp_path):
    how = {"codec": "mjpeg", "pixel_format": "yuvj420p"} if kind == "mjpeg" else CODECS["h264"]
    clip, rng = make_clip("own.mkv", frames=36, **how), random.Random(seed)
    with av.open(str(clip)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    change = rng.choice(["equal", "swapped", "set back", "stands still", "wild"])
    at = rng.randrange(6, 24)
    if change == "equal":
        stamps[at] = stamps[at - 1]
    elif change == "swapped":
        stamps[at : at + 3] = rng.sample(stamps[at : at + 3], 3)
    elif change == "set back":  # with a key picture, as recordings begin
        at = rng.choice([12, 24])
        stamps[at:] = [stamp - stamps[at] + stamps[0] for stamp in stamps[at:]]
    elif change == "stands still":
        stamps[at:] = [stamps[at]] * len(stamps[at:])
    else:
        stamps[at] = rng.choice([0, 20_000, 32_000])
    path = restamp(clip, tmp_path / "odd.mkv", stamps)
    frames, reader = read(path)
    assert len(frames) == len(decoded(clip)) == 36 and reader.damage == Damage()
    assert len({frame.tobytes() for frame in frames}) == 36
    whole, _ = read(clip)
    assert all((a == b).all() for a, b in zip(frames, whole, strict=True))
    if change == "set back" or (change, kind) == ("stands still", "mjpeg"):
        assert not is_variable(reader.times, reader.info.fps)


@pytest.mark.parametrize("seed", range(3))
def test_odd_stamps_and_damage_together_lose_nothing_uncounted(seed, make_clip, tmp_path):
    clip, rng = make_clip("b.avi", frames=40, size=(160, 120), options={"bf": "2", "g": "12"}), random.Random(seed)
    path = hurt_packets(clip, tmp_path / "hurt.avi", rng.sample(range(8, 40), 3), seed)
    frames, reader = read(path, backwards=False)
    damage = reader.damage
    assert len(frames) - damage.replaced + damage.dropped >= len(decoded(path))
    assert not is_variable(reader.times, reader.info.fps)


def flash_and_click(path, frames, at, sound_seconds, b_frames=2):
    """A dark clip with white frames, and silence with clicks, both at the seconds `at`."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25, options={"bf": str(b_frames)})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("mp2", rate=48000, layout="mono")
        samples = np.zeros((1, round(sound_seconds * 48000)), np.int16)
        for start in at:
            samples[0, round(start * 48000) : round(start * 48000) + 24] = 30000
        block = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        block.sample_rate, block.pts = 48000, 0
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 * (index / 25 in at), np.uint8))
            picture.pts = index
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


def heard_and_seen(path):
    """Seconds of the white frames and of the clicks."""
    with VideoReader(path) as reader:
        flashes = [float(frame.time) for frame in reader.frames() if frame.rgb().mean() > 128]
    waveform = np.abs(read_waveform(path, 48000))
    clicks = [start / 48000 for start in np.flatnonzero(waveform > 0.4)]
    return flashes, [clicks[0], *(b for a, b in zip(clicks, clicks[1:], strict=False) if b - a > 0.2)]


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
def test_picture_and_sound_pause_together(extension, tmp_path):
    """An hour on the clocks of both is left out of both; a gap in the sound alone stays as long as it is."""
    clip = flash_and_click(tmp_path / "clip.mp4", frames=200, at=[0.4, 2.4, 7.4], sound_seconds=8, b_frames=0)

    def paused(packet):
        return round(3600 / packet.time_base) if packet.pts * packet.time_base >= Fraction(36, 25) else 0

    def is_kept(packet):
        return packet.stream.type == "video" or not 3 < packet.pts * packet.time_base < 7

    flashes, clicks = heard_and_seen(remux(clip, tmp_path / f"paused.{extension}", moved=paused, kept=is_kept))
    assert flashes == pytest.approx([0.4, 2.4, 7.4], abs=1e-6)
    apart = [click - flash for flash, click in zip(flashes, clicks, strict=True)]
    assert max(apart) - min(apart) < 0.03, apart


@pytest.mark.parametrize("back", [True, False])
def test_picture_and_sound_stay_together_across_joins(back, tmp_path, caplog):
    """Sound that is longer or shorter than its picture does not move what comes after it."""
    parts = []
    for number, sound_seconds in enumerate([1.1, 0.7, 1.3, 0.9, 1.0]):
        part = flash_and_click(tmp_path / f"{number}.ts", frames=25, at=[0.4], sound_seconds=sound_seconds)
        offset = 0 if back else 1000 * number
        parts.append(remux(part, tmp_path / f"moved-{number}.ts", {"output_ts_offset": str(offset)}))
    path = join(tmp_path / "joined.ts", *parts)
    flashes, clicks = heard_and_seen(path)
    assert len(flashes) == len(clicks) == 5
    apart = [click - flash for flash, click in zip(flashes, clicks, strict=True)]
    assert max(apart) - min(apart) < 0.002, apart
    assert sum("time stamps of its audio step" in record.message for record in caplog.records) == 1


def test_sound_alone_goes_on_from_where_it_was(tmp_path):
    parts, tones = [], (400, 800, 400)
    for number, tone in enumerate(tones):
        path = tmp_path / f"{number}.ts"
        with av.open(str(path), "w") as container:
            track = container.add_stream("mp2", rate=48000, layout="mono")
            wave = 20000 * np.sin(2 * np.pi * tone * np.arange(48000) / 48000)
            block = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
            block.sample_rate, block.pts = 48000, 0
            container.mux(track.encode(block))
            container.mux(track.encode(None))
        parts.append(path)
    waveform = read_waveform(join(tmp_path / "joined.ts", *parts), 48000)
    assert len(waveform) / 48000 == pytest.approx(3, abs=0.1)
    for number, tone in enumerate(tones):
        middle = waveform[48000 * number + 14400 : 48000 * number + 38400]
        assert np.count_nonzero((middle[1:] >= 0) & (middle[:-1] < 0)) == pytest.approx(tone / 2, abs=2)


@pytest.mark.parametrize(
    ("name", "count", "text"),
    [("glued6s.ts", 150, "time stamps of its video step"), ("h264b.avi", 25, ""), ("dup1.mkv", 40, "no later")],
)
def test_files_that_broke(name, count, text, footage, caplog):
    path = footage / "cases" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with VideoReader(path) as reader:
        assert len({frame.rgb().tobytes() for frame in reader.frames()}) == count == len(reader.times)
        assert reader.damage == Damage() and len(caplog.records) == bool(text) and text in caplog.text
