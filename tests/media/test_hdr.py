"""Ten bits and high dynamic range: kept with all their tags, or refused with what to choose instead."""

import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter, apply_edit, probe_video

DISPLAY, LIGHT = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)", (1000, 400)
HDR10 = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
SOURCES = {
    "HDR10": ("libx265", "yuv420p10le", HDR10, f"master-display={DISPLAY}:max-cll=1000,400:hdr10=1"),
    "HLG": ("libx265", "yuv420p10le", {**HDR10, "color_trc": 18}, ""),
    "10 bits in HEVC": ("libx265", "yuv420p10le", dict.fromkeys(HDR10, 1), ""),
    "10 bits in H.264": ("libx264", "yuv420p10le", dict.fromkeys(HDR10, 1), ""),
    "10 bits in FFV1": ("ffv1", "yuv422p10le", dict.fromkeys(HDR10, 1), ""),
}
RESULTS = {
    "hevc": ("a.mp4", EncodeSettings(codec="hevc", preset="ultrafast")),
    "hevc in mkv": ("a.mkv", EncodeSettings(codec="hevc", preset="ultrafast")),
    "lossless h264": ("a.mov", EncodeSettings(lossless=True, preset="ultrafast")),
    "lossless hevc": ("a.mp4", EncodeSettings(codec="hevc", lossless=True, preset="ultrafast")),
    "ffv1": ("a.mkv", EncodeSettings(codec="ffv1")),
}


@pytest.fixture
def make_source(make_clip):
    """``make_source("HDR10")`` -> path of a four-frame clip."""

    def make(kind):
        codec, pixel_format, colors, words = SOURCES[kind]
        options = {"x265-params": ":".join(filter(None, ["log-level=none", words]))} if codec == "libx265" else {}
        return make_clip("source.mkv", frames=4, codec=codec, pixel_format=pixel_format, colors=colors, options=options)

    return make


def tags(path):
    info = probe_video(path)
    return info.color_range, info.color_space, info.color_primaries, info.color_trc


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("result", RESULTS)
def test_depth_tags_and_untouched_samples_carry_over(kind, result, make_source, tmp_path, planes_of):
    source, (name, settings) = make_source(kind), RESULTS[result]
    was = probe_video(source)
    written = []
    with VideoReader(source) as reader, VideoWriter(tmp_path / name, reader.info, settings) as writer:
        for frame in reader.frames():
            before = frame.rgb()[10:30, 16:40]
            writer.write(edited := apply_edit(frame.picture, before, 255 - before, left=16, top=10))
            written.append((planes_of(frame.picture), planes_of(edited)))
    now = probe_video(tmp_path / name)
    assert now.bit_depth == 10 and tags(tmp_path / name) == tags(source)
    if settings.codec != "ffv1":
        assert now.hdr_metadata == was.hdr_metadata
    if not settings.keeps_every_sample:
        return
    with VideoReader(tmp_path / name) as reader:
        for frame, (source_planes, edited_planes) in zip(reader.frames(), written, strict=True):
            for got, own, edited in zip(planes_of(frame.picture), source_planes, edited_planes, strict=True):
                assert (got == edited).all()
                assert (got[32:] == own[32:]).all() and (got != own).any()  # below the edit


def test_the_mastering_display_is_read_as_it_was_written(make_source):
    metadata = probe_video(make_source("HDR10")).hdr_metadata
    assert (metadata.display, metadata.light, metadata.dynamic) == (DISPLAY, LIGHT, ())
    assert probe_video(make_source("HLG")).hdr_metadata.display is None


@pytest.mark.parametrize(("kind", "curve"), [("HDR10", "PQ"), ("HLG", "HLG")])
def test_high_dynamic_range_is_not_squeezed_into_8_bits(kind, curve, make_source, tmp_path):
    with VideoReader(make_source(kind)) as reader:
        with pytest.raises(LatentSyncError, match=rf"source.mkv: .*{curve}.*choose the codec hevc.*lossless"):
            VideoWriter(tmp_path / "a.mp4", reader.info)
    assert not (tmp_path / "a.mp4").exists()


def test_ten_bits_that_become_eight_are_warned_about(make_source, tmp_path, caplog):
    source = make_source("10 bits in H.264")
    with VideoReader(source) as reader, VideoWriter(tmp_path / "a.mp4", reader.info) as writer:
        writer.write(next(reader.frames()).picture)
    assert probe_video(tmp_path / "a.mp4").bit_depth == 8 and tags(tmp_path / "a.mp4") == tags(source)
    assert "a.mp4: the source's 10 bits become 8 with H.264; the codec hevc keeps 10" in caplog.text


def test_light_levels_that_ffv1_cannot_hold_are_warned_about(make_source, tmp_path, caplog):
    with VideoReader(make_source("HDR10")) as reader:
        with VideoWriter(tmp_path / "a.mkv", reader.info, EncodeSettings(codec="ffv1")) as writer:
            writer.write(next(reader.frames()).picture)
    assert "FFV1 does not carry the source's mastering display" in caplog.text


@pytest.mark.parametrize("result", ["ffv1", "lossless h264"])
def test_a_lossless_intermediate_survives_generations(result, make_source, tmp_path, planes_of):
    """The result of one run as the source of the next, three times: every sample is the first one's."""
    source, (name, settings) = make_source("10 bits in H.264"), RESULTS[result]
    with VideoReader(source) as reader:
        first = [planes_of(frame.picture) for frame in reader.frames()]
    for generation in range(3):
        target = tmp_path / f"{generation}{name}"
        with VideoReader(source) as reader, VideoWriter(target, reader.info, settings) as writer:
            for frame in reader.frames():
                writer.write(frame.picture)
        source = target
    with VideoReader(source) as reader:
        for frame, planes in zip(reader.frames(), first, strict=True):
            assert all((a == b).all() for a, b in zip(planes_of(frame.picture), planes, strict=True))
