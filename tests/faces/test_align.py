"""Alignment: equal to the reference where asked, and by default still, without lag, and blind across cuts."""

import numpy as np
import pytest
import torch

from latentsync_core.faces.align import TEMPLATE, alignment_matrices, crop_size

FACE = np.array([[400.3, 300.7], [505.1, 296.2], [455.8, 372.9]])  # left brow, right brow, nose; pixels


def apply(matrices, points):
    """(N, 2, 3) to (N, 3, 2)."""
    return np.einsum("nij,nkj->nki", matrices[:, :, :2], points) + matrices[:, None, :, 2]


def moving(frames, velocity=(0.0, 0.0)):
    return FACE + np.arange(frames)[:, None, None] * np.array(velocity)


@pytest.mark.parametrize("resolution", [256, 512])
def test_reference_mode_equals_the_reference(golden, resolution):
    face = golden("face.npz")
    matrices = alignment_matrices(face["landmarks"], resolution, mode="reference")
    assert matrices.dtype == np.float32
    np.testing.assert_allclose(matrices, face[f"matrices_{resolution}"], atol=1e-3)


def test_reference_mode_keeps_its_state_across_gaps_and_cuts(golden):
    face = golden("face.npz")
    gap = np.full((1, 3, 2), np.nan)
    points = np.concatenate([face["landmarks"][:5], gap, face["landmarks"][5:]])
    matrices = alignment_matrices(points, 256, mode="reference", breaks=[3, 8])
    assert np.isnan(matrices[5]).all()
    np.testing.assert_allclose(np.delete(matrices, 5, axis=0), face["matrices_256"], atol=1e-3)


def test_reference_mode_rounds_the_points():
    whole = alignment_matrices(np.round(FACE)[None], 256, mode="reference")
    np.testing.assert_array_equal(alignment_matrices(FACE[None], 256, mode="reference"), whole)
    assert not np.array_equal(alignment_matrices(FACE[None], 256), whole)


def test_both_modes_agree_on_a_face_at_rest_on_whole_pixels():
    points = np.repeat(np.round(FACE)[None], 10, axis=0)
    np.testing.assert_allclose(
        alignment_matrices(points, 256), alignment_matrices(points, 256, mode="reference"), atol=1e-4
    )


@pytest.mark.parametrize("angle", [0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("mode", ["smooth", "reference"])
def test_a_turned_and_scaled_template_is_brought_upright(angle, mode):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 40
    points = (TEMPLATE @ turn.T + 900)[None]
    matrix = alignment_matrices(points, 256, mode=mode)
    np.testing.assert_allclose(matrix[0, :, :2] @ turn, 2.8 * np.eye(2), atol=5e-3)
    bias = 3.5  # pixels; the published nose bias grows with the tilt
    np.testing.assert_allclose(apply(matrix, points)[0], TEMPLATE * 2.8, atol=bias if angle else 0.05)


@pytest.mark.parametrize(("resolution", "size"), [(256, (210, 280)), (512, (420, 560))])
def test_crop_size_equals_the_reference(golden, resolution, size):
    assert crop_size(resolution) == size
    assert tuple(golden("face.npz")[f"crop_size_{resolution}"][:2]) == size[::-1]


def test_a_face_at_rest_gives_one_matrix_to_the_last_bit():
    matrices = alignment_matrices(moving(40), 512)
    assert (matrices == matrices[0]).all()


def test_uniform_motion_has_no_lag_even_at_the_ends():
    points = moving(30, velocity=(3.7, -1.3))
    single = np.concatenate([alignment_matrices(points[frame : frame + 1], 256) for frame in range(30)])
    together = alignment_matrices(points, 256)
    assert np.abs(apply(together, points) - apply(single, points)).max() < 0.05


def test_landmark_noise_is_reduced_and_frame_to_frame_jitter_more_so():
    noise = np.random.default_rng(3).normal(scale=0.8, size=(400, 3, 2))
    nose = moving(400)[:, 2:]
    clean = apply(alignment_matrices(moving(400), 256), nose)[:, 0]
    raw = np.concatenate([alignment_matrices(points[None], 256) for points in moving(400) + noise])
    raw = apply(raw, nose)[:, 0]
    smooth = apply(alignment_matrices(moving(400) + noise, 256), nose)[:, 0]
    assert (smooth - clean).std() < 0.5 * (raw - clean).std()
    assert np.diff(smooth, axis=0).std() < 0.2 * np.diff(raw, axis=0).std()


def test_smoothing_does_not_delay_a_nod():
    frames = np.arange(60)
    points = moving(60) + np.sin(frames / 25 * 2 * np.pi)[:, None, None] * np.array([0, 12.0])  # 1 Hz at 25 fps
    shift = alignment_matrices(points, 256)[:, 1, 2]
    wave = np.exp(1j * frames[5:55] / 25 * 2 * np.pi)
    phase = np.angle((-(shift - shift.mean())[5:55] * wave.conj()).sum()) + np.pi / 2
    assert abs(phase) < 0.01


def test_a_cut_stays_a_step():
    before, after = moving(12), moving(12) + 300
    matrices = alignment_matrices(np.concatenate([before, after]), 256, breaks=[12])
    np.testing.assert_array_equal(matrices[:12], alignment_matrices(before, 256))
    np.testing.assert_array_equal(matrices[12:], alignment_matrices(after, 256))


def test_frames_without_a_face_are_nan_and_part_the_runs():
    before, after = moving(9, (2, 0)), moving(7) + 50
    gap = np.full((2, 3, 2), np.nan)
    matrices = alignment_matrices(np.concatenate([gap, before, gap, after]), 256)
    assert np.isnan(matrices[[0, 1, 11, 12]]).all()
    np.testing.assert_array_equal(matrices[2:11], alignment_matrices(before, 256))
    np.testing.assert_array_equal(matrices[13:], alignment_matrices(after, 256))


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_short_runs_keep_their_frames(frames):
    points = moving(frames, (5, 5))
    matrices = alignment_matrices(points, 256)
    assert matrices.shape == (frames, 2, 3)
    assert np.isfinite(matrices).all()


def test_tensors_are_accepted_and_other_shapes_refused():
    points = torch.from_numpy(moving(3))
    np.testing.assert_array_equal(alignment_matrices(points, 256), alignment_matrices(points.numpy(), 256))
    with pytest.raises(ValueError, match="frames, 3, 2"):
        alignment_matrices(np.zeros((4, 5, 2)), 256)
    with pytest.raises(ValueError, match="smooth"):
        alignment_matrices(np.zeros((4, 3, 2)), 256, mode="fast")
