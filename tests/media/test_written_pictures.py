"""The result's pictures: every sample where it should be, and the source's tags beside them."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from written import FAST, copy_video, sound_of

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import (
    EncodeSettings,
    VideoReader,
    VideoWriter,
    apply_edit,
    probe_video,
    to_rgb,
)

LOSSLESS = {
    "h264": ("a.mp4", EncodeSettings(lossless=True, preset="ultrafast"), ["yuv420p", "yuv444p", "yuv422p10le"]),
    "hevc": ("a.mp4", EncodeSettings(codec="hevc", lossless=True, preset="ultrafast"), ["yuv420p", "yuv420p10le"]),
    "ffv1": ("a.mkv", EncodeSettings(codec="ffv1"), ["yuv420p", "yuv444p", "yuv420p10le", "gray", "yuv440p", "bgr0"]),
}


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [(codec, name) for codec in LOSSLESS for name in LOSSLESS[codec][2]]
)
def test_lossless_edits_leave_every_other_sample(codec, pixel_format, make_clip, tmp_path, planes_of):
    name, settings, _ = LOSSLESS[codec]
    source = make_clip("source.mkv", codec="ffv1", frames=6, pixel_format=pixel_format)
    with VideoReader(source) as reader, VideoWriter(tmp_path / name, reader.info, settings) as writer:
        written = []
        for frame in reader.frames():
            before = frame.rgb()[11:31, 17:40]
            after = 255 - before
            edited = apply_edit(frame.picture, before, after, left=17, top=11)
            writer.write(edited)
            written.append((planes_of(frame.picture), planes_of(edited)))
    info = probe_video(tmp_path / name)
    assert info.pixel_format == pixel_format
    with VideoReader(tmp_path / name) as result:
        decoded = [planes_of(frame.picture) for frame in result.frames()]
    assert len(decoded) == 6
    for planes, (source_planes, edited_planes) in zip(decoded, written, strict=True):
        for now, was, edited in zip(planes, source_planes, edited_planes, strict=True):
            assert (now == edited).all()
            down, across = 48 // now.shape[0], 64 * (4 if pixel_format == "bgr0" else 1) // now.shape[1]
            outside = np.ones(now.shape, bool)
            scale = 4 if pixel_format == "bgr0" else 1
            outside[11 // down : -(-31 // down), 17 * scale // across : -(-40 * scale // across)] = False
            assert (now[outside] == was[outside]).all()
            assert (now != was).any()


def test_rgb_survives_lossless_h264(make_clip, tmp_path):
    source = make_clip("source.mkv", codec="ffv1", frames=3, pixel_format="bgr0")
    target = copy_video(source, tmp_path / "rgb.mp4", EncodeSettings(lossless=True))
    with VideoReader(source) as a, VideoReader(target) as b:
        assert all((x.rgb() == y.rgb()).all() for x, y in zip(a.frames(), b.frames(), strict=True))


def test_the_full_range_of_yuvj_survives(make_clip, tmp_path, planes_of):
    source = make_clip("full.mp4", frames=4, pixel_format="yuvj420p")
    assert probe_video(source).full_range
    for name, settings in (
        ("a.mp4", FAST),
        ("b.mkv", EncodeSettings(codec="ffv1")),
        ("c.mov", replace(FAST, codec="hevc")),
    ):
        target = copy_video(source, tmp_path / name, settings)
        assert probe_video(target).full_range and probe_video(target).color_range == 2, name
        with VideoReader(source) as a, VideoReader(target) as b:
            difference = [
                np.abs(x.rgb().astype(int) - y.rgb()).mean() for x, y in zip(a.frames(), b.frames(), strict=True)
            ]
        assert max(difference) < 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_rate_size_tags_and_pixel_shape_carry_over(name, make_clip, tmp_path):
    colors = {"color_range": 1, "colorspace": 6, "color_primaries": 6, "color_trc": 6}
    rate = Fraction(30000, 1001)
    source = make_clip("source.mp4", frames=20, fps=rate, colors=colors, aspect=Fraction(4, 3))
    copy_video(source, tmp_path / name)
    was, now = probe_video(source), probe_video(tmp_path / name)
    for field in (
        "width",
        "height",
        "color_range",
        "color_space",
        "color_primaries",
        "color_trc",
        "sample_aspect_ratio",
    ):
        assert getattr(was, field) == getattr(now, field), field
    assert now.codec == "h264" and now.pixel_format == "yuv420p" and not now.has_audio
    with VideoReader(tmp_path / name) as reader:
        assert len(list(reader.frames())) == 20
        tolerance = Fraction(0) if name != "a.mkv" else Fraction(1, 1000)  # Matroska counts milliseconds
        assert all(abs(time - i / rate) <= tolerance for i, time in enumerate(reader.times))
    assert abs(now.fps - rate) < (Fraction(1, 100) if name == "a.mkv" else Fraction(1, 10**9))


def test_an_untagged_source_stays_untagged(make_clip, tmp_path):
    info = probe_video(copy_video(make_clip("plain.mp4", frames=2), tmp_path / "a.mp4"))
    assert (info.color_range in (0, 1), info.color_space, info.color_primaries, info.color_trc) == (True, 2, 2, 2)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48)])
def test_odd_sizes_grow_by_their_edge_or_stay_with_ffv1(size, make_clip, tmp_path, caplog):
    source = make_clip("odd.mkv", frames=3, size=size, codec="ffv1")
    kept = probe_video(copy_video(source, tmp_path / "kept.mkv", EncodeSettings(codec="ffv1")))
    assert (kept.width, kept.height) == size and "grows" not in caplog.text
    copy_video(source, tmp_path / "grown.mp4", EncodeSettings(crf=1))
    grown = probe_video(tmp_path / "grown.mp4")
    assert (grown.width, grown.height) == (64, 48) and "grows to 64x48" in caplog.text
    with VideoReader(source) as a, VideoReader(tmp_path / "grown.mp4") as b:
        was, now = next(a.frames()).rgb(), next(b.frames()).rgb()
    assert np.abs(now[: size[1], : size[0]].astype(int) - was).mean() < 3
    source = make_clip("odd444.mkv", frames=2, size=size, codec="ffv1", pixel_format="yuv444p")
    kept = probe_video(copy_video(source, tmp_path / "kept.mp4", EncodeSettings(lossless=True)))
    assert (kept.width, kept.height) == size


@pytest.mark.parametrize(
    ("pixel_format", "colors"),
    [
        ("yuv422p", {}),
        ("yuv444p", {"color_range": 2}),
        ("yuv420p10le", {}),
        ("yuv420p10le", {"color_range": 2}),
        ("yuv422p10le", {}),
        ("gray", {}),
        ("bgr0", {}),
    ],
)
def test_any_source_becomes_ordinary_h264_in_the_same_colours(pixel_format, colors, make_clip, tmp_path):
    colors = {"colorspace": 1, **colors} if pixel_format[0] == "y" else {}
    source = make_clip("source.mkv", codec="ffv1", frames=2, pixel_format=pixel_format, colors=colors)
    copy_video(source, tmp_path / "a.mp4", EncodeSettings(crf=1))
    info = probe_video(tmp_path / "a.mp4")
    assert info.pixel_format.replace("j", "") == "yuv420p"
    with VideoReader(source) as a, VideoReader(tmp_path / "a.mp4") as b:
        was, now = next(a.frames()).rgb().astype(int), next(b.frames()).rgb().astype(int)
    assert np.abs(was.mean((0, 1)) - now.mean((0, 1))).max() < 1.5
    assert np.abs(was.mean(2) - now.mean(2)).mean() < 2.5


def test_hevc_keeps_ten_bits_and_apples_tag(make_clip, tmp_path):
    source = make_clip("deep.mkv", codec="ffv1", frames=2, pixel_format="yuv422p10le")
    target = copy_video(source, tmp_path / "a.mp4", replace(FAST, codec="hevc"))
    assert probe_video(target).pixel_format == "yuv420p10le" and b"hvc1" in target.read_bytes()


def test_high_dynamic_range_is_not_squeezed_into_8_bits(make_clip, tmp_path):
    colors = {"colorspace": 9, "color_primaries": 9, "color_trc": 16}
    source = make_clip("hdr.mkv", codec="ffv1", frames=2, pixel_format="yuv420p10le", colors=colors)
    with pytest.raises(LatentSyncError, match=r"hdr.mkv: .*PQ.*choose the codec hevc"):
        copy_video(source, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
    info = probe_video(copy_video(source, tmp_path / "a.mp4", replace(FAST, codec="hevc")))
    assert (info.bit_depth, info.color_trc, info.color_primaries, info.color_space) == (10, 16, 9, 9)


def test_real_footage_edited(footage, tmp_path, planes_of):
    source = footage / "demo1_video.mp4"
    settings = EncodeSettings(codec="ffv1")
    with VideoReader(source) as reader:
        info = replace(reader.info)
        with VideoWriter(tmp_path / "a.mkv", info, settings, audio=footage / "demo1_audio.wav") as writer:
            originals = []
            for frame in reader.frames(0, 4):
                before = frame.rgb()[700:1100, 300:700]
                after = np.ascontiguousarray(before[:, ::-1])
                writer.write(apply_edit(frame.picture, before, after, left=300, top=700))
                originals.append(planes_of(frame.picture))
    with VideoReader(tmp_path / "a.mkv") as result:
        for frame in result.frames():
            for now, was in zip(planes_of(frame.picture), originals[frame.index], strict=True):
                scale = 1920 // now.shape[0]
                now[700 // scale : 1100 // scale, 300 // scale : 700 // scale] = 0
                was[700 // scale : 1100 // scale, 300 // scale : 700 // scale] = 0
                assert (now == was).all()
    assert len(sound_of(tmp_path / "a.mkv")) == 4 * 640


def test_tagged_colours_look_the_same_in_the_result(make_clip, tmp_path):
    for code in (1, 6, 9):
        source = make_clip(f"{code}.mkv", codec="ffv1", frames=1, colors={"colorspace": code}, size=(64, 48))
        target = copy_video(source, tmp_path / f"{code}.mp4", EncodeSettings(crf=1))
        with VideoReader(source) as a, VideoReader(target) as b:
            was, now = next(a.frames()), next(b.frames())
            assert int(now.picture.colorspace) == code
            assert np.abs(to_rgb(was.picture).astype(int) - now.rgb()).mean() < 2
