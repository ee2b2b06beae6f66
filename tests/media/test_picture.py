"""Turning pictures upright loses nothing, whatever the display matrix."""

from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.media import VideoReader, probe_video
from latentsync_core.media.picture.planes import channel_samples, native_picture

# The display matrix (a, b, c, d), and what it does to a stored plane, told with numpy's own words.
TURNS = {
    (1, 0, 0, 1): lambda plane: plane,
    (0, 1, -1, 0): lambda plane: np.rot90(plane, -1),  # a phone held upright: a quarter turn clockwise
    (-1, 0, 0, -1): lambda plane: np.rot90(plane, 2),
    (0, -1, 1, 0): lambda plane: np.rot90(plane, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda plane: plane.T,
    (0, -1, -1, 0): lambda plane: np.rot90(plane, 2).T,
}


@pytest.mark.parametrize("matrix", TURNS)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_planes_are_turned_by_whole_samples(matrix, pixel_format, make_clip, set_display_matrix, decode_all, planes_of):
    path = make_clip("turned.mp4", frames=3, pixel_format=pixel_format)
    stored = [planes_of(picture) for picture in decode_all(path)]
    set_display_matrix(path, *matrix)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert len(frames) == 3
        for frame, planes in zip(frames, stored, strict=True):
            shown = planes_of(frame.picture)
            assert all((a == TURNS[matrix](b)).all() for a, b in zip(shown, planes, strict=True))
            assert frame.rgb().shape == TURNS[matrix](np.empty((48, 64))).shape + (3,)
        assert (reader.info.height, reader.info.width) == frames[0].rgb().shape[:2]


def test_the_report_tells_turn_and_mirror(make_clip, set_display_matrix):
    def told(*matrix):
        info = probe_video(set_display_matrix(make_clip("told.mp4", frames=1, aspect=Fraction(4, 3)), *matrix))
        return info.rotation, info.mirrored, info.sample_aspect_ratio

    assert told(1, 0, 0, 1) == (0, False, Fraction(4, 3))
    assert told(0, 1, -1, 0) == (90, False, Fraction(3, 4))  # the pixel's shape turns with it
    assert told(-1, 0, 0, -1) == (180, False, Fraction(4, 3))
    assert told(0, -1, 1, 0) == (270, False, Fraction(3, 4))
    assert told(-1, 0, 0, 1)[:2] == (0, True)
    assert told(0, 1, 1, 0)[:2] == (270, True)


def test_formats_without_planes_are_repacked_without_loss():
    values = np.random.default_rng(1).integers(16, 235, (8, 16, 3)).astype(np.uint8)
    picture = av.VideoFrame(16, 8, "yuyv422")
    packed = np.frombuffer(picture.planes[0], np.uint8).reshape(8, -1)
    packed[:, :32] = values[:, :, :2].reshape(8, 32)
    native = native_picture(picture)
    assert native.format.name == "yuv422p"
    luma, u, v = channel_samples(native)
    assert (luma == packed[:, 0:32:2]).all() and (u == packed[:, 1:32:4]).all() and (v == packed[:, 3:32:4]).all()
