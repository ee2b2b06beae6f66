"""Operations are counted as one counts them by hand, and drawn weights make networks that compute ordinary numbers."""

import pytest
import torch
import torch.nn.functional as F

from latentsync_core.benchmark.compute import count_flops
from latentsync_core.benchmark.seeded import seeded_unet
from latentsync_core.errors import LatentSyncError

CPU = torch.device("cpu")


def test_products_convolutions_and_attention_are_counted():
    product, flops = count_flops(lambda: torch.ones(3, 5) @ torch.ones(5, 7))
    assert product.shape == (3, 7) and flops == 2 * 3 * 5 * 7
    _, flops = count_flops(lambda: F.conv2d(torch.ones(1, 4, 8, 8), torch.ones(6, 4, 3, 3), padding=1))
    assert flops == 2 * 8 * 8 * 6 * 4 * 9
    query, key = torch.ones(2, 8, 10, 16), torch.ones(2, 8, 50, 16)
    _, flops = count_flops(lambda: F.scaled_dot_product_attention(query, key, key))
    assert flops == 2 * 8 * (2 * 10 * 50 * 16) * 2  # scores, then values


def test_a_window_of_the_published_unet_takes_the_operations_of_the_reference():
    with torch.device("meta"):
        unet = seeded_unet(320, torch.device("meta"))
        _, flops = count_flops(lambda: unet(torch.ones(1, 13, 16, 32, 32), 951, torch.ones(16, 50, 384)))
    assert flops == pytest.approx(4.050e12, rel=1e-3)  # REFERENCE section 5, at 256 px


@torch.inference_mode()
def test_drawn_weights_keep_signals_at_their_size():
    unet = seeded_unet(32, CPU)
    predicted = unet(torch.randn(1, 13, 4, 8, 8), 951, torch.randn(4, 50, 384))
    assert 0.1 < predicted.std() < 10
    again = seeded_unet(32, CPU)
    assert torch.equal(again.conv_out.weight, unet.conv_out.weight)


def test_a_width_that_group_norm_cannot_divide_is_refused():
    with pytest.raises(LatentSyncError, match="width 100"):
        seeded_unet(100, CPU)
