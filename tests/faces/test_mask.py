"""The fixed mask: the published shape to the pixel, and what is left of it at other sizes."""

import numpy as np
import pytest
import torch

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces.mask import composite_crop, fixed_mask, latent_mask


def test_the_mask_is_the_published_one_to_the_pixel(golden):
    rows = golden("mask_rows.json")
    expected = torch.ones(rows["size"], rows["size"])
    for y, runs in enumerate(rows["fixed"]):
        for first, last in runs:
            expected[y, first : last + 1] = 0
    mask = fixed_mask(256)
    assert mask.dtype == torch.float32
    assert torch.equal(mask, expected)


def test_share_of_the_crop_that_is_regenerated():
    assert (1 - fixed_mask(256)).mean().item() == pytest.approx(0.407, abs=5e-4)


def test_fractions_at_512_are_those_the_weights_have_seen():
    mask = fixed_mask(512)
    cells = latent_mask(mask)
    assert cells.shape == (64, 64)
    assert ((mask > 0) & (mask < 1)).float().mean().item() == pytest.approx(0.035, abs=5e-4)
    assert ((cells > 0) & (cells < 1)).sum() == 133
    assert mask.min() == 0 and mask.max() == 1
    assert torch.equal((mask * 255).round() / 255, mask)  # an 8-bit picture


@pytest.mark.parametrize("resolution", [64, 128, 320, 384, 768])
def test_every_working_resolution_has_the_same_shape(resolution):
    mask = fixed_mask(resolution)
    assert mask.shape == (resolution, resolution)
    assert (1 - mask).mean().item() == pytest.approx(0.407, abs=0.01)


@pytest.mark.parametrize("resolution", [0, -64, 250, 500])
def test_other_resolutions_are_refused_with_advice(resolution):
    with pytest.raises(LatentSyncError, match=rf"{resolution} pixels.*multiple of 64.*256.*512"):
        fixed_mask(resolution)


def test_latent_mask_keeps_leading_axes():
    mask = fixed_mask(256)
    cells = latent_mask(mask.expand(2, 1, 256, 256))
    assert cells.shape == (2, 1, 32, 32)
    assert torch.equal(cells[1, 0], mask[::8, ::8])


def test_composite_keeps_the_reference_where_the_mask_is_one():
    mask = fixed_mask(512)
    generated = torch.full((2, 3, 512, 512), 0.5)
    reference = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 3, 512, 512)).astype(np.float32))
    crop = composite_crop(generated, reference, mask)
    assert torch.equal(crop[..., mask == 1], reference[..., mask == 1])
    assert torch.equal(crop[..., mask == 0], generated[..., mask == 0])
    edge = (mask > 0) & (mask < 1)
    assert torch.allclose(crop[..., edge], (0.5 * (1 - mask) + reference * mask)[..., edge], atol=1e-6)
