"""What a player shows together is read together: a click and a white frame, wherever the two tracks of a file begin."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader, probe_audio, probe_video, read_waveform, stream_audio
from latentsync_core.media.write.mix import mixed_blocks

pytestmark = pytest.mark.long

CASES = Path(__file__).parents[3] / "shared" / "media" / "cases"
RATE = 48_000  # Hz, of every sound here
FPS = 25
FRAMES = 25
WHITE = 15  # the frame that is white
CLICK = 0.7  # seconds after the sound's own start
WITHIN = 0.001  # seconds
PICTURES = {".webm": "libvpx", ".avi": "mpeg4"}  # libx264 elsewhere, whose B-frames are stored out of order
QUICK = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}, "libx264": {"preset": "ultrafast", "bf": "2"}}
SOUNDS = {
    ".mp4": ("aac", "libmp3lame", "libopus", "pcm_s16le", "vorbis"),
    ".mov": ("pcm_s16le", "aac", "libmp3lame"),
    ".mkv": ("pcm_s16le", "aac", "libopus", "libmp3lame", "vorbis"),
    ".webm": ("libopus", "vorbis"),
    ".ts": ("aac", "libopus", "libmp3lame"),
    ".avi": ("pcm_s16le", "libmp3lame", "aac"),
}
KINDS = [(suffix, codec) for suffix, codecs in SOUNDS.items() for codec in codecs]
STARTS = {"late sound": (0, 0.4), "early sound": (0.4, 0), "both late": (0.2, 0.6), "just early": (0.52, 0.4)}


def click_of(seconds: float) -> np.ndarray:
    """(samples,) float32: silence with one short click."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    place = round(CLICK * RATE)
    sound[place - 24 : place + 25] = 0.8 * np.hanning(49)
    return sound


def write(path: Path, codec: str | None, picture: float | None, *sounds: float, seconds: float = 1.0) -> Path:
    """A file whose pictures and sounds begin at the given seconds."""
    with av.open(str(path), "w") as container:
        packets, video = [], None
        if picture is not None:
            name = PICTURES.get(path.suffix, "libx264")
            video = container.add_stream(name, rate=FPS, width=64, height=48, pix_fmt="yuv420p")
            video.options = QUICK.get(name, {})
        layout = "stereo" if codec == "vorbis" else "mono"  # FFmpeg's own encoder for vorbis knows nothing else
        tracks = [container.add_stream(codec, rate=RATE, layout=layout) for _ in sounds]
        for index in range(FRAMES if video else 0):
            level = 255 if index == WHITE else 60
            shown = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8)).reformat(format="yuv420p")
            shown.pts, shown.time_base = index + round(picture * FPS), Fraction(1, FPS)
            packets += video.encode(shown)
        packets += video.encode(None) if video else []
        for track, start in zip(tracks, sounds, strict=True):
            track.options = {"strict": "experimental"} if codec == "vorbis" else {}
            sound = np.tile(click_of(seconds), (len(track.layout.channels), 1))
            block = av.AudioFrame.from_ndarray(sound, "fltp", layout)
            block.sample_rate, block.time_base, block.pts = RATE, Fraction(1, RATE), round(start * RATE)
            packets += track.encode(block) + track.encode(None)
        for packet in packets:
            container.mux(packet)
    return path


def player_times(path: Path, track: int = 0) -> tuple[float, float, float]:
    """Seconds by the time stamps of what is decoded: the white frame, the click, and the earliest start of the two."""
    white = click = first = loudest = None
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            streams = getattr(container.streams, kind)
            for frame in container.decode(streams[track if kind == "audio" else 0]) if streams else ():
                time = float(frame.pts * frame.time_base)
                first = time if first is None else min(first, time)
                if kind == "video":
                    white = time if frame.to_ndarray(format="gray").mean() > 180 and white is None else white
                    continue
                level = np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0)
                if loudest is None or level.max() > loudest:
                    loudest, click = level.max(), time + int(level.argmax()) / RATE
    return white, click, first


def click_in(waveform: np.ndarray) -> float:
    return int(np.abs(waveform).argmax()) / RATE


def white_frame(path: Path) -> float:
    with VideoReader(path) as reader:
        return float(next(frame.time for frame in reader.frames() if frame.rgb().mean() > 180))


def need(codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize(("suffix", "codec"), KINDS, ids=[f"{suffix} {codec}" for suffix, codec in KINDS])
def test_a_click_stays_beside_its_picture_and_after_the_files_zero(suffix, codec, starts, tmp_path):
    need(codec)
    path = write(tmp_path / f"clip{suffix}", codec, *starts)
    white, click, first = player_times(path)
    together = read_waveform(path, RATE, video=path)
    assert click_in(together) - white_frame(path) == pytest.approx(click - white, abs=WITHIN)
    alone = read_waveform(path, RATE)
    assert click_in(alone) == pytest.approx(click - max(first, 0), abs=WITHIN)
    for waveform, info in ((together, probe_audio(path, video=path)), (alone, probe_audio(path))):
        lead = float(info.start.lead)
        assert not waveform[: max(round((lead - 0.03) * RATE), 0)].any()  # real silence, up to the resampler's reach
        assert len(waveform) / RATE == pytest.approx(1 + lead, abs=0.06)  # and nothing else is lost


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_each_track_has_a_start_of_its_own(suffix, tmp_path):
    path = write(tmp_path / f"clip{suffix}", "aac", 0.2, 0.6, 0.4)
    for number in (1, 2):
        white, click, first = player_times(path, number - 1)
        info = probe_audio(path, number, path)
        assert click_in(info.waveform(RATE)) - white_frame(path) == pytest.approx(click - white, abs=WITHIN)
        assert click_in(read_waveform(path, RATE, number)) == pytest.approx(click - first, abs=WITHIN)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".ts", ".mka", ".wav"])
def test_sound_alone_begins_at_once(suffix, tmp_path):
    codec = {".mp3": "libmp3lame", ".ogg": "vorbis", ".ts": "aac"}.get(suffix, "pcm_s16le")
    need(codec)
    path = write(tmp_path / f"voice{suffix}", codec, None, 0.0)
    start = probe_audio(path).start
    assert start.lead == 0 and start.picture is None
    assert click_in(read_waveform(path, RATE)) == pytest.approx(CLICK, abs=0.03)


@pytest.mark.parametrize(("suffix", "starts"), [(".mp4", (0, 0.12)), (".mov", (0.12, 0)), (".ts", (0.12, 0))])
def test_a_cut_between_key_pictures_plays_from_the_cut(suffix, starts, tmp_path):
    """As editors cut without encoding: what lies before the cut is stored, and an edit list says not to play it."""
    whole = write(tmp_path / f"whole{suffix}", "aac", *starts)
    path = tmp_path / f"cut{suffix}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            moved = round(Fraction(3, 10) / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - moved, packet.dts - moved, copies[packet.stream.index]
            if packet.stream.type == "video" or packet.pts + packet.duration > 0:
                target.mux(packet)
    white, click, first = player_times(path)
    together = read_waveform(path, RATE, video=path)
    assert click_in(together) - white_frame(path) == pytest.approx(click - white, abs=WITHIN)
    zero = first if suffix == ".ts" else max(first, 0)
    assert click_in(read_waveform(path, RATE)) == pytest.approx(click - zero, abs=WITHIN)


def test_a_copy_is_another_file_whose_zero_meets_the_first_picture(tmp_path):
    path = write(tmp_path / "clip.mkv", "pcm_s16le", 0.4, 0.0)
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(path.read_bytes())
    link = tmp_path / "link.mkv"
    link.symlink_to(path)
    assert click_in(read_waveform(copy, RATE, video=path)) == pytest.approx(CLICK, abs=WITHIN)
    assert click_in(read_waveform(link, RATE, video=path)) == pytest.approx(CLICK - 0.4, abs=WITHIN)


def test_samples_are_untouched_but_for_silence_before_or_a_cut(tmp_path):
    def samples(path, video=None):
        return np.concatenate([block.to_ndarray()[0] for block in stream_audio(path, video=video)])

    whole = samples(write(tmp_path / "even.mkv", "pcm_s16le", 0.0, 0.0))
    late = samples(write(tmp_path / "late.mkv", "pcm_s16le", 0.0, 0.4))
    assert not late[: 2 * RATE // 5].any() and np.array_equal(late[2 * RATE // 5 :], whole)
    early = write(tmp_path / "early.mkv", "pcm_s16le", 0.4, 0.0)
    assert np.array_equal(samples(early, early), whole[2 * RATE // 5 :])


@pytest.mark.parametrize(("picture", "sound"), [(0.0, 0.4), (0.4, 0.0)])
def test_the_videos_own_sound_keeps_its_place_in_a_mix(picture, sound, tmp_path):
    video = write(tmp_path / "clip.mp4", "aac", picture, sound)
    voice = write(tmp_path / "voice.wav", "pcm_s16le", None, 0.0)
    mixed = np.concatenate([b.to_ndarray()[0] for b in mixed_blocks(lambda: stream_audio(voice), video, Fraction(2))])
    voice_click = round(CLICK * RATE)
    assert mixed[voice_click] == pytest.approx(0.8, abs=0.01)
    mixed[voice_click - 100 : voice_click + 100] = 0
    white, click, _ = player_times(video)
    assert click_in(mixed) - white_frame(video) == pytest.approx(click - white, abs=WITHIN)


def test_a_sound_that_ends_before_the_first_picture_is_refused(tmp_path):
    path = write(tmp_path / "clip.mkv", "pcm_s16le", 1.2, 0.0, seconds=1.0)
    with pytest.raises(LatentSyncError, match="its sound starts 1.200 s before the first picture and ends before"):
        probe_audio(path, video=path)
    assert len(read_waveform(path, RATE)) == RATE  # beside other pictures it is a voice like any


def test_a_clock_that_was_set_is_no_silence(tmp_path, caplog):
    path = write(tmp_path / "clip.ts", "aac", 0.0, 3600.0)
    assert len(read_waveform(path, RATE, video=path)) / RATE == pytest.approx(1, abs=0.06)
    assert "further apart than" in caplog.text and probe_audio(path, video=path).start.distrusted


def test_a_recording_cut_out_of_a_live_stream_is_as_long_as_what_it_holds(tmp_path):
    path = write(tmp_path / "live.mkv", "pcm_s16le", 3600.0, 3600.4)
    info = probe_audio(path, video=path)
    assert info.seconds == pytest.approx(1.4, abs=0.05) and probe_video(path).duration == pytest.approx(1.4, abs=0.05)
    assert len(info.waveform(RATE)) == round(1.4 * RATE)


def test_the_late_sound_of_a_real_recording(tmp_path):
    path = CASES / "late400.mov"
    if not path.is_file():
        pytest.skip("no ../shared/media/cases/late400.mov")
    info = probe_audio(path, video=path)
    assert info.start.to_dict() == {
        "picture_start": 0.0,
        "sound_start": 0.4,
        "silence_before": 0.4,
        "sound_cut": 0.0,
    }
    assert not info.waveform()[: round(0.4 * 16_000) - 40].any()
