"""The lower lip's edge in pictures whose edge is known."""

import numpy as np
import pytest
import torch

from latentsync_core.generators.draft.lip_edge import STEP, with_seen_edge
from latentsync_core.generators.draft.lips import PLACES, Lips

EYES = 200  # pixels between the corners of the eyes
PLANE = np.array([[EYES, 0.0, 128.0], [0.0, EYES, 60.0]])
LIP, TEETH, DARK = (190.0, 110, 105), (225.0, 215, 205), (50.0, 25, 25)


def lips(gap: float) -> Lips:
    """Lips by the mesh, the lower one's edge at v = gap."""
    shape = 1 - PLACES**2
    corners = np.array([[-0.3, 0.0], [0.3, 0.0]])
    return Lips(corners, 0 * shape, gap * shape, nose=-0.3, chin=0.6, upper_lip=0.08, lower_lip=0.1)


def picture(edge: np.ndarray, inside: tuple[float, ...]) -> torch.Tensor:
    """A lower lip below v = edge (SAMPLES,), something else above: (3, 256, 256)."""
    u, v = (np.arange(256) - 128) / EYES, (np.arange(256) - 60) / EYES
    below = v[:, None] >= np.interp(u / 0.3, PLACES, edge)
    colours = np.where(below[..., None], LIP, inside)
    return torch.from_numpy(colours).permute(2, 0, 1).float()


@pytest.mark.parametrize("inside", [TEETH, DARK], ids=["teeth", "dark"])
def test_an_edge_below_the_meshs_is_found(inside):
    by_mesh = lips(0.12)
    truth = by_mesh.lower + 0.035 * (1 - PLACES**4)
    found = with_seen_edge(by_mesh, picture(truth, inside), PLANE)
    middle = np.abs(PLACES) < 0.6
    np.testing.assert_allclose(found.lower[middle], truth[middle], atol=2 * STEP)
    np.testing.assert_array_equal(found.upper, by_mesh.upper)
    assert found.lower[0] == by_mesh.lower[0] and found.lower[-1] == by_mesh.lower[-1], "corners stay"


def test_a_shut_mouth_and_one_colour_keep_the_meshs_edge():
    shut = lips(0.02)
    assert with_seen_edge(shut, picture(shut.lower + 0.03, TEETH), PLANE) is shut
    parted = lips(0.12)
    plain = torch.full((3, 256, 256), 150.0)
    np.testing.assert_allclose(with_seen_edge(parted, plain, PLANE).lower, parted.lower, atol=STEP)


def test_a_highlight_on_the_lip_does_not_bend_the_edge():
    by_mesh = lips(0.12)
    truth = by_mesh.lower + 0.01
    highlight = np.where(np.abs(PLACES - 0.1) < 0.08, 0.06, 0.0)
    stray = picture(truth + highlight, TEETH)
    found = with_seen_edge(by_mesh, stray, PLANE)
    middle = np.abs(PLACES) < 0.6
    np.testing.assert_allclose(found.lower[middle], truth[middle], atol=3 * STEP)
