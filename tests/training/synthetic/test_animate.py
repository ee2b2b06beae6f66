"""The rendered mouth is as open as recorded, and FaceMesh measures the same."""

import numpy as np
import pytest
import torch

from latentsync_core.faces import track_faces
from latentsync_core.faces.mouth_opening import mouth_opening
from latentsync_core.training.synthetic.animate import FULL_OPENING, Pose, render, true_opening

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")


@pytest.fixture(scope="module")
def portrait():
    from latentsync_core.training.synthetic.portrait import load_portrait

    return load_portrait()


def measured(frames) -> np.ndarray:
    return mouth_opening(track_faces(frames).mesh)


@pytest.mark.long
def test_face_mesh_measures_the_drawn_opening(portrait):
    pose = Pose.resting(16, opening=torch.linspace(0, 1, 16))
    truth, found = true_opening(pose).numpy(), measured(render(portrait, pose).numpy())
    assert np.corrcoef(truth, found)[0, 1] > 0.98
    slope, rest = np.polyfit(truth, found, 1)
    assert np.abs(slope * truth + rest - found).max() < 0.12 * FULL_OPENING, "linear over the whole range"


@pytest.mark.long
def test_pose_and_light_do_not_hide_the_opening(portrait):
    draw = torch.Generator().manual_seed(3)
    noise = [torch.randn(24, generator=draw) for _ in range(4)]
    opening, rounding = (torch.rand(24, generator=draw) for _ in range(2))
    light = {"yaw": 2 * noise[0], "pitch": 1.5 * noise[1], "roll": 0.03 * noise[2], "red": 1 + 0.05 * noise[3]}
    pose = Pose.resting(24, opening=opening, rounding=rounding, **light)
    found = np.concatenate([measured([frame]) for frame in render(portrait, pose).numpy()])
    assert np.corrcoef(true_opening(pose).numpy(), found)[0, 1] > 0.88


def test_only_the_lower_face_moves_with_the_mouth(portrait):
    shut, wide = render(portrait, Pose.resting(2, opening=torch.tensor([0.0, 1.0]))).int()
    changed = (shut - wide).abs().amax(-1) > 8
    rows = changed.any(1).nonzero().flatten()
    assert changed.float().mean() > 0.02
    assert rows[0] > 110, "the eyes' half stays"
    assert not changed[:, :30].any() and not changed[:, -30:].any()


def test_a_blink_covers_the_eyes(portrait):
    awake, asleep = render(portrait, Pose.resting(2, blink=torch.tensor([0.0, 1.0]))).float()
    rows = (awake - asleep).abs().amax(-1).amax(1).gt(20).nonzero().flatten()
    assert 60 < rows[0] and rows[-1] < 128


@pytest.mark.long
def test_batches_do_not_matter(portrait):
    pose = Pose.resting(3, opening=torch.tensor([0.1, 0.9, 0.4]), yaw=torch.tensor([0.0, 3.0, -3.0]))
    together, apart = render(portrait, pose), torch.cat([render(portrait, pose[i : i + 1]) for i in range(3)])
    assert (together.int() - apart.int()).abs().max() <= 1
