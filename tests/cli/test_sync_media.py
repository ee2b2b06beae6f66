"""``sync`` with the media people have: a photograph, odd names, a damaged file, a cache that is in the way."""

import json
import shutil
import time

import av
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from preloaded import Program
from small_media import QUICK, cut_voice, posix

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP
from latentsync_core.media import VideoReader, probe_audio

pytestmark = pytest.mark.long

NAMES = {
    "spaces and quotes": ' it\'s "my"  clip ',
    "percent signs": "100%d %s %03d",
    "other scripts": "影片 видео ملف עברית",
    "emoji and combining marks": "👩‍🎤 e\u0301a\u0308",
    "a leading dash": "-rf",
    "shell": "$(touch x); `y` & | > *?[a]",
    "colons": "file:a:b",
    "250 bytes": "é" * 122 + "a",
}


@pytest.fixture
def sync_cached(tmp_path, capsys):
    """As ``sync``, on two frames of voice, with the cache left on."""
    voice = cut_voice(tmp_path / "short.wav", 0.08)

    def run(*options) -> tuple[int, str, str]:
        quick = [option for option in QUICK if option != "--no-cache"]
        given = ("--video", CLIP, "--audio", voice, "--out", tmp_path / "result.mp4", *quick, *options)
        return main(["sync", *map(str, given)]), *capsys.readouterr()

    return run


@pytest.fixture
def photo(tmp_path):
    """The demo's first frame."""
    with VideoReader(CLIP) as reader:
        return Image.fromarray(next(reader.frames()).rgb())


def frames_of(path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.rgb().copy() for frame in reader.frames()]


# Stills


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "alpha.png", "turned.jpg", "odd.png", "16.png", "grey.png"])
def test_a_still_picture_speaks_for_as_long_as_the_voice(kind, photo, sync, tmp_path):
    path, options = tmp_path / f"still.{kind}", {}
    if kind == "alpha.png":
        photo.putalpha(200)
    elif kind == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        photo, options = photo.rotate(90, expand=True), {"exif": exif}
    elif kind == "odd.png":
        photo = photo.crop((0, 0, photo.width - 1, photo.height - 1))
    elif kind in ("16.png", "grey.png"):
        levels = np.asarray(photo.convert("L"))
        photo = Image.fromarray(levels.astype(np.uint16) * 257) if kind == "16.png" else Image.fromarray(levels)
    photo.save(path, **options)
    code, out, err = sync("--video", path, "--audio", cut_voice(tmp_path / "longer.wav", 0.6))
    assert code == 0, err
    assert "15 frames at 25 fps, 15 synced" in out
    frames = frames_of(tmp_path / "out" / "result.mp4")
    assert len(frames) == 15 and probe_audio(tmp_path / "out" / "result.mp4").samples
    assert len({frame.tobytes() for frame in frames}) > 1  # the mouth moves


def test_a_still_picture_at_a_rate_of_ones_own(photo, sync, tmp_path):
    photo.save(tmp_path / "still.png")
    code, out, _ = sync("--video", tmp_path / "still.png", "--fps", "50")
    assert code == 0 and "12 frames at 50 fps, 12 synced" in out


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng"])
def test_an_animation_is_a_video(name, photo, sync, tmp_path):
    others = [photo.rotate(angle) for angle in (1, 2)]
    how = {"format": "PNG"} if name == "a.apng" else {}
    photo.save(tmp_path / name, save_all=True, append_images=others, duration=40, **how)
    code, out, err = sync("--video", tmp_path / name)
    assert code == 0 and "6 frames at 25 fps, 6 synced" in out, err


# Names


@posix
@pytest.mark.parametrize("kind", NAMES)
def test_any_name_for_every_file(kind, sync_cached, tmp_path, monkeypatch):
    name = NAMES[kind]
    folder = tmp_path / f"{name[:60]} folder"
    folder.mkdir()
    voice = cut_voice(tmp_path / "short.wav", 0.08)
    video, audio = folder / f"{name}.mp4", folder / f"{name}.wav"
    shutil.copy(CLIP, video), shutil.copy(voice, audio)
    monkeypatch.chdir(folder)  # bare names, so that a leading dash leads
    given = ("--video=" + video.name, "--audio=" + audio.name, "--out=./" + name + ".mkv", "--cache=" + name[:60])
    side = ("--report=" + name + ".json", "--contact-sheet=" + name + ".png")
    code, out, err = sync_cached(*given, *side)
    assert code == 0, err
    for suffix in ("mkv", "json", "png"):
        assert (folder / f"{name}.{suffix}").stat().st_size
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert (folder / name[:60] / "features").is_dir()  # the cache
    assert told["output_frames"]["written"] == 2 and told["inputs"]["video"]["path"] == video.name


# Damage


def test_a_damaged_clip_keeps_its_length_and_says_what_was_lost(sync, tmp_path):
    whole = tmp_path / "whole.mkv"
    with VideoReader(CLIP) as reader, av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "6", "preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = reader.info.width, reader.info.height, "yuv420p"
        for frame in reader.frames(0, 12):
            picture = av.VideoFrame.from_ndarray(frame.rgb())
            picture.pts = frame.index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    for start, size in packets[4:6]:
        data[start + 4 : start + size] = bytes(size - 4)
    (tmp_path / "hurt.mkv").write_bytes(data)
    voice, report = cut_voice(tmp_path / "longer.wav", 0.48), tmp_path / "r.json"
    code, out, err = sync("--video", tmp_path / "hurt.mkv", "--audio", voice, "--report", report)
    assert code == 0 and "12 frames at 25 fps, 12 synced" in out, err
    assert err.count("warning: ") == 1 and "hurt.mkv: damaged from frame 4 on, at 0.16 s" in err
    told = json.loads(report.read_text(encoding="utf-8"))["source_frames"]
    assert told["read"] == 12 and told["damaged"] == 2
    assert told["damage"]["frames"] == [
        {"frame": 4, "seconds": 0.16, "what": "replaced"},
        {"frame": 5, "seconds": 0.2, "what": "replaced"},
    ]


def test_a_size_that_changes_midway_is_refused_with_its_place_within_seconds(refused, tmp_path):
    path = tmp_path / "resized.ts"
    with VideoReader(CLIP) as reader:
        pictures = [frame.rgb() for frame in reader.frames(0, 6)]
    for size in (256, 320):
        part = tmp_path / f"{size}.ts"
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25, width=size, height=size, pix_fmt="yuv420p")
            for index, pixels in enumerate(pictures):
                picture = av.VideoFrame.from_ndarray(pixels).reformat(size, size, "yuv420p")
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        with open(path, "ab") as whole:
            whole.write(part.read_bytes())
    started = time.monotonic()
    voice = cut_voice(tmp_path / "longer.wav", 0.48)
    sentence = refused("--video", path, "--audio", voice)
    assert "the picture size changes from 256x256 to 320x320 at frame 6 (0.24 s); cut the video there" in sentence
    assert time.monotonic() - started < 20


# The cache


def test_a_cache_that_cannot_be_written_costs_a_warning(sync_cached, tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    code, _, err = sync_cached("--cache", tmp_path / "file" / "cache")
    assert code == 0 and err.count("warning: ") == 1 and "were not cached" in err


def test_a_damaged_cache_entry_is_computed_anew_with_a_warning(sync_cached, tmp_path):
    cache = tmp_path / "cache"
    assert sync_cached("--cache", cache)[0] == 0
    (entry,) = (cache / "features").iterdir()
    whole = entry.read_bytes()
    kept = safetensors.torch.load(whole)
    entry.write_bytes(whole[:-50])
    code, _, err = sync_cached("--cache", cache, "--overwrite")
    assert code == 0 and err.count("warning: ") == 1 and "computing them again" in err
    mended = safetensors.torch.load_file(entry)  # not the bytes: safetensors writes a header's strings in any order
    assert len(entry.read_bytes()) == len(whole) and torch.equal(mended["features"], kept["features"])


@posix
def test_two_runs_share_one_cache_at_the_same_time(tmp_path):
    voice, cache = cut_voice(tmp_path / "short.wav", 0.08), tmp_path / "cache"
    quick = [option for option in QUICK if option != "--no-cache"]
    files = ("--video", CLIP, "--audio", voice, "--cache", cache)
    runs = [Program("sync", *files, *quick, "--out", tmp_path / f"{number}.mp4") for number in range(2)]
    for run in runs:
        with run:
            code, err = run.ended()
        assert code == 0 and "warning" not in err, err
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()
    assert {path.suffix for path in cache.rglob("*") if path.is_file()} == {".safetensors"}
