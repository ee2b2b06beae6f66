"""Pictures and animations as the video: upright, with their own colours, and as long as they state."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader, probe_video

SIDEWAYS = 6  # EXIF: to be turned a quarter clockwise
PIXELS = np.add.outer(np.arange(48) * 3, np.arange(64) * 2)[..., None].repeat(3, 2).astype(np.uint8) // [1, 2, 3]
PICTURE = Image.fromarray(PIXELS.astype(np.uint8))


def read(path):
    with VideoReader(path) as reader:
        return list(reader.frames()), reader.info


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "odd", "turned"])
def test_a_picture_of_any_kind_is_one_frame(extension, mode, tmp_path):
    path = tmp_path / f"a.{extension}"
    if mode in ("RGBA", "P") and extension == "jpg":
        pytest.skip("JPEG has no such pictures")
    if mode == "P" and extension == "webp":
        pytest.skip("a lossy format blurs a dithered picture")
    picture, options = PICTURE, {"quality": 95} if extension in ("jpg", "webp") else {}
    if mode == "odd":
        picture = picture.crop((0, 0, 63, 47))
    elif mode == "turned":
        if extension not in ("jpg", "png", "webp"):
            pytest.skip("no EXIF here")
        exif = Image.Exif()
        exif[0x0112] = SIDEWAYS
        picture, options = picture.rotate(90, expand=True), {**options, "exif": exif}
    else:
        picture = picture.convert(mode)
    picture.save(path, **options)
    (frame,), info = read(path)
    expected = PIXELS[: frame.rgb().shape[0], : frame.rgb().shape[1]]
    if mode in ("L", "P"):
        expected = np.asarray(picture.convert("RGB"))
    assert frame.rgb().shape == ((47, 63, 3) if mode == "odd" else (48, 64, 3))
    assert np.abs(frame.rgb().astype(int) - expected).mean() < (4 if options else 1)
    assert info.fps == 25 and info.rotation == (90 if mode == "turned" else 0)


def test_a_16_bit_picture_keeps_its_depth(tmp_path):
    deep = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    (frame,), info = read(tmp_path / "deep.png")
    assert info.bit_depth == 16 and (np.abs(frame.rgb()[..., 0] - deep / 257) <= 1).all()


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.apng"])
def test_an_animation_plays_at_its_own_times(name, tmp_path):
    pictures = [Image.fromarray(np.full((48, 64, 3), 40 * index, np.uint8)) for index in range(5)]
    how = {"format": "PNG"} if name.endswith("apng") else {"lossless": True} if name.endswith("webp") else {}
    durations = [40, 40, 80, 40, 40]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=durations, **how)
    with VideoReader(tmp_path / name) as reader:
        frames = list(reader.frames())
        assert [frame.time * 1000 for frame in frames] == [0, 40, 80, 160, 200]
        for frame in [*frames, *reader.frames_at([4, 0, 3])]:
            assert np.abs(frame.rgb().astype(int) - 40 * frame.index).max() <= 1


def test_a_damaged_animation_is_refused_in_a_sentence(tmp_path):
    PICTURE.save(tmp_path / "a.webp", save_all=True, append_images=[PICTURE.rotate(9)], lossless=True)
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(data[: len(data) // 3])
    with pytest.raises(LatentSyncError, match="cut.webp: this animated WebP is damaged"):
        probe_video(tmp_path / "cut.webp")


def test_a_still_in_a_video_container_keeps_a_sensible_rate(make_clip):
    assert probe_video(make_clip("one.mp4", frames=1, fps=Fraction(30))).fps == 30
    assert probe_video(make_clip("avif-like.mp4", frames=1, fps=Fraction(1))).fps == 25
    with av.open(str(make_clip("slow.mp4", frames=3, fps=Fraction(1)))) as container:
        assert container.streams.video[0].average_rate == 1
