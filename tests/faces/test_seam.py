"""The seam: shapes, soft edges, colours that match, and a user's mask that nothing crosses."""

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.demo import CLIP
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import (
    FaceTrack,
    MouthMasks,
    Seam,
    crop_face,
    fixed_mask,
    match_color,
    mouth_masks,
    mouth_share,
    paste_region,
    read_limit,
    track_faces,
)
from latentsync_core.generators.face_latents import pixels_of
from latentsync_core.media import VideoReader

RESOLUTION = 256


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with VideoReader(CLIP) as reader:
        return [frame.rgb() for frame in reader.frames(0, 8)]


@pytest.fixture(scope="module")
def track(pictures) -> FaceTrack:
    return track_faces(pictures)


@pytest.fixture(scope="module")
def crops(pictures, track) -> list[np.ndarray]:
    matrices = track.matrices(RESOLUTION)
    return [crop_face(p, m, RESOLUTION, True) for p, m in zip(pictures, matrices, strict=True)]


# Shape


@pytest.mark.parametrize("feather", [0.0, 0.5, 1.5, 4.0])
def test_feather_softens_the_edge_and_leaves_it_in_place(feather):
    share, redrawn = mouth_share(RESOLUTION, feather), 1 - fixed_mask(RESOLUTION)
    column = share[:, 30]  # straight down through the cheek
    edge = int((redrawn[:, 30] > 0.5).nonzero()[0])
    assert abs(int((column > 0.5).nonzero()[0]) - edge) <= 1
    rise = int(((column[: edge + 40] > 0.16) & (column[: edge + 40] < 0.84)).sum())
    assert rise == pytest.approx(2 * feather / 100 * RESOLUTION, abs=2)  # two standard deviations


@pytest.mark.parametrize(("grow", "pixels"), [(4.0, -10), (-4.0, 10), (0.4, -1)])
def test_growth_moves_the_edge_by_as_much(grow, pixels):
    edges = [int((mouth_share(RESOLUTION, 1.0, g)[:, 30] > 0.5).nonzero()[0]) for g in (0.0, grow)]
    assert edges[1] - edges[0] == pytest.approx(pixels, abs=1)


def test_lengths_are_those_of_the_crop_whatever_its_resolution():
    small, large = mouth_share(128, 2.0, 3.0), mouth_share(512, 2.0, 3.0)
    reduced = torch.nn.functional.avg_pool2d(large[None], 4)[0]
    assert (small - reduced).abs().mean() < 0.01


def test_the_mesh_mask_is_the_face_below_the_nose(track):
    masks = mouth_masks(track, RESOLUTION, Seam(mask="mesh"))
    matrices = track.matrices(RESOLUTION)
    for index in (0, 7):
        share = masks.share(index, matrices[index]).numpy()
        points = track.mesh[index, :, :2] @ matrices[index][:, :2].T + matrices[index][:, 2]
        points *= RESOLUTION / np.array([210, 280])  # the crop before its resize to a square

        def at(point: int, share=share, points=points) -> float:
            x, y = points[point].round().astype(int)
            return float(share[y, x])

        assert min(at(point) for point in (13, 14, 61, 291, 17)) > 0.9 and at(152) > 0.6  # lips, chin
        assert max(at(point) for point in (6, 33, 263, 10)) < 0.02  # bridge of the nose, eyes, forehead
        assert share[-3:, :].max() < 0.02 and share[200:, :20].max() < 0.02  # below and beside the face
    outside = masks.share(0, matrices[0]) > mouth_share(RESOLUTION, 1.5, 6.0) + 0.5
    assert outside.float().mean() < 0.03


def test_the_mesh_mask_moves_with_the_face_and_does_not_tremble(track):
    matrices = track.matrices(RESOLUTION)
    masks = mouth_masks(track, RESOLUTION, Seam(mask="mesh"))
    areas = np.array([float(masks.share(i, matrices[i]).sum()) for i in range(len(track))])
    assert np.abs(np.diff(areas)).max() < 0.01 * areas.mean()


# Colour


def test_colours_that_drifted_are_brought_back(crops):
    face = pixels_of(crops[:1])[0]
    tilt = torch.linspace(0.05, -0.05, RESOLUTION)
    drifted = face + torch.tensor([0.08, -0.06, 0.04])[:, None, None] + tilt
    redrawn = fixed_mask(RESOLUTION) < 0.5
    before, after = ((f - face)[:, redrawn].abs().mean() for f in (drifted, match_color(drifted, crops[0])))
    assert before > 0.05 and after < 0.2 * before


def test_a_mouth_that_differs_is_not_mistaken_for_a_drift(crops):
    face = pixels_of(crops[:1])[0]
    other = torch.where(fixed_mask(RESOLUTION) < 0.5, face - 0.4, face)
    changed = match_color(other, crops[0])
    assert (changed - other).abs().max() < 0.01  # half a grey level, which crops lose


def test_the_match_does_not_flicker(crops):
    noise = torch.Generator().manual_seed(0)
    faces = [f + 0.05 + 0.05 * torch.randn(f.shape, generator=noise) for f in pixels_of(crops)]
    shifts = [(match_color(f, c) - f).mean((1, 2)) * 127.5 for f, c in zip(faces, crops, strict=True)]
    assert torch.stack(shifts).diff(dim=0).abs().max() < 0.15  # grey levels, under noise of six


def test_a_face_that_is_no_likeness_is_not_bent_into_one(crops):
    white = torch.ones(3, RESOLUTION, RESOLUTION)
    assert (match_color(white, crops[0]) - white).abs().max() <= 0.25


# The user's mask


def test_nothing_changes_where_the_users_mask_is_black(pictures, track):
    matrix, height, width = track.matrices(RESOLUTION)[0], *pictures[0].shape[:2]
    limit = np.zeros((height, width), np.float32)
    middle = int(track.points[0, 2, 0])
    limit[:, middle:] = 1
    white, share = torch.ones(3, RESOLUTION, RESOLUTION), mouth_share(RESOLUTION)
    free, limited = (
        paste_region(pictures[0], white, matrix, RESOLUTION, True, share=share, limit=m) for m in (None, limit)
    )

    def whole(region) -> np.ndarray:
        pasted = pictures[0].copy()
        h, w = region.alpha.shape
        pasted[region.top : region.top + h, region.left : region.left + w] = region.pixels
        return pasted

    np.testing.assert_array_equal(whole(limited)[:, :middle], pictures[0][:, :middle])
    np.testing.assert_array_equal(whole(limited)[:, middle:], whole(free)[:, middle:])
    assert (whole(limited) != pictures[0]).any()


def test_one_mask_serves_all_frames_and_a_batch_each_its_own(track):
    single = MouthMasks(RESOLUTION, Seam(), limit=np.ones((1, 4, 4), np.float32))
    each = MouthMasks(RESOLUTION, Seam(), limit=np.arange(3, dtype=np.float32)[:, None, None] * np.ones((3, 4, 4)))
    assert single.limit_at(2, (0, 0, 4, 4)).shape == (4, 4)
    assert each.limit_at(2, (1, 0, 3, 4)).shape == (4, 2) and (each.limit_at(2, (1, 0, 3, 4)) == 2).all()
    for wrong in (np.ones((2, 512, 512), np.float32), np.ones((1, 4, 8), np.float32)):
        with pytest.raises(LatentSyncError, match=r"pictures of \d+x\d+ pixels; the video has 8 frames of 512x512"):
            mouth_masks(track, RESOLUTION, Seam(), wrong)


@pytest.mark.parametrize("count", [1, 8])
def test_a_mask_of_another_size_is_scaled_and_that_is_said(track, count, caplog):
    small = np.zeros((count, 64, 64), np.float32)
    small[-1, :, 32:] = 1
    masks = mouth_masks(track, RESOLUTION, Seam(), small)
    assert "64x64 pixels, the video 512x512; it is scaled" in caplog.text
    part = masks.limit_at(7, (200, 10, 300, 20))
    assert part.shape == (10, 100) and (part[:, :48] == 0).all() and (part[:, 64:] == 1).all()
    assert 0 < part[0, 55] < 1  # the edge is as soft as a pixel was large
    assert masks.limit_at(0, (0, 0, 512, 512)).any() == (count == 1)


def test_a_mask_without_white_is_pointed_out(track, caplog):
    mouth_masks(track, RESOLUTION, Seam(), np.zeros((1, 512, 512), np.float32))
    assert "black throughout, so nothing changes" in caplog.text


def test_a_masks_file_is_read_and_one_that_does_not_fit_refused(tmp_path):
    Image.fromarray(np.full((6, 8), 128, np.uint8)).save(tmp_path / "grey.png")
    assert read_limit(tmp_path / "grey.png", 6, 8) == pytest.approx(128 / 255)
    with pytest.raises(LatentSyncError, match="8x6 pixels, the video 8x7"):
        read_limit(tmp_path / "grey.png", 7, 8)
    with pytest.raises(LatentSyncError, match="cannot be read as a picture .*fixed, mesh or a grey PNG"):
        read_limit(tmp_path / "meshed", 6, 8)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"feather": -1.0}, "feather is -1.0 percent"),
        ({"grow": 30.0}, "grow by 30.0 percent"),
        ({"feather": float("nan")}, "feather is nan"),
        ({"color_match": "blue"}, "'blue' is unknown; choose ring or off"),
    ],
)
def test_seams_that_cannot_be_are_refused(choice, said):
    with pytest.raises(LatentSyncError, match=said):
        Seam(**choice)
