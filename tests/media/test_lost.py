"""What a source has and its result cannot hold is said once, and kept where the codec has it."""

import av
import numpy as np
import pytest
from PIL import Image

from latentsync_core.media import EncodeSettings, ImageReader, VideoReader, VideoWriter, probe_video

SIZE = (64, 48)
TRANSPARENT = {  # name: codec and pixel format
    "prores.mov": ("prores_ks", "yuva444p10le"),
    "vp9.webm": ("libvpx-vp9", "yuva420p"),
    "png.mov": ("png", "rgba"),
    "deep.mov": ("png", "rgba64be"),
    "grey.mov": ("png", "ya8"),
    "animation.mov": ("qtrle", "argb"),
    "ffv1.mkv": ("ffv1", "yuva420p"),
}
KEPT = ("prores.mov", "png.mov", "animation.mov", "ffv1.mkv")


def rgba(index: int) -> np.ndarray:
    """A picture that fades out to the right, and moves."""
    picture = np.full((SIZE[1], SIZE[0], 4), 40 * index + 60, np.uint8)
    picture[..., 3] = np.roll(np.linspace(0, 255, SIZE[0]), index)
    return picture


@pytest.fixture
def transparent(tmp_path):
    """``transparent(name)`` -> a clip with alpha."""

    def make(name: str):
        codec, pixel_format = TRANSPARENT[name]
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=25, width=SIZE[0], height=SIZE[1], pix_fmt=pixel_format)
            for index in range(3):
                picture = av.VideoFrame.from_ndarray(rgba(index), "rgba").reformat(format=pixel_format)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return tmp_path / name

    return make


def copy(source, target, settings: EncodeSettings | None = None) -> list[np.ndarray]:
    """Write a source again; its own pictures as RGBA."""
    with VideoReader(source) as reader:
        with VideoWriter(target, reader.info, settings or EncodeSettings(preset="ultrafast"), overwrite=True) as writer:
            pictures = []
            for frame in reader.frames():
                writer.write(frame.picture)
                pictures.append(frame.picture.reformat(format="rgba").to_ndarray())
    return pictures


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_is_lost_with_one_warning_or_kept(name, transparent, tmp_path, caplog):
    source = transparent(name)
    assert probe_video(source).alpha
    copy(source, tmp_path / "out.mp4")
    assert caplog.text.count("transparency (alpha channel) is left out") == 1
    assert ("ffv1 in .mkv keeps it" in caplog.text) == (name in KEPT)
    caplog.clear()
    before = copy(source, tmp_path / "out.mkv", EncodeSettings(codec="ffv1"))
    assert ("transparency" in caplog.text) == (name not in KEPT)
    if name in KEPT:
        with VideoReader(tmp_path / "out.mkv") as reader:
            after = [frame.picture.reformat(format="rgba").to_ndarray() for frame in reader.frames()]
        assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
        assert before[0][..., 3].min() < 20 and before[0][..., 3].max() > 235


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_an_animation_is_transparent_only_where_it_makes_use_of_it(name, tmp_path):
    pictures = [Image.fromarray(rgba(index)) for index in range(3)]
    if name == "a.gif":
        pictures = [Image.fromarray(np.tile(np.arange(n, 64 + n, dtype=np.uint8), (48, 1)), "P") for n in range(3)]
        for picture in pictures:
            picture.putpalette([level for shade in range(256) for level in (shade, 9, 9)])
    how = {"lossless": True} if name == "a.webp" else {"transparency": 5, "disposal": 2}
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **how)
    assert probe_video(tmp_path / name).alpha
    opaque = [Image.fromarray(rgba(index)[..., :3].copy()) for index in range(3)]
    how.pop("transparency", None)
    opaque[0].save(tmp_path / name, save_all=True, append_images=opaque[1:], **how)
    assert not probe_video(tmp_path / name).alpha


def test_images_with_alpha_lose_it_with_a_warning(tmp_path, caplog):
    torch = pytest.importorskip("torch")
    for channels, lost in ((3, 0), (4, 1)):
        reader = ImageReader(torch.rand(2, 48, 64, channels), 25)
        with VideoWriter(tmp_path / "a.mp4", reader.info, EncodeSettings(preset="ultrafast"), overwrite=True) as writer:
            for frame in reader.frames():
                writer.write(frame.picture)
        assert caplog.text.count("transparency") == lost


@pytest.mark.parametrize(
    ("name", "codec", "options", "interlaced"),
    [
        ("tv.mkv", "mpeg2video", {"flags": "+ilme+ildct"}, True),
        ("camera.mp4", "libx264", {"x264-params": "tff=1"}, True),
        ("film.mp4", "libx264", {}, False),
    ],
)
def test_interlacing_is_lost_with_one_warning(name, codec, options, interlaced, make_clip, tmp_path, caplog):
    source = make_clip(name, codec=codec, options=options, frames=4)
    assert probe_video(source).interlaced == interlaced
    copy(source, tmp_path / "out.mp4")
    assert caplog.text.count("is interlaced") == interlaced
