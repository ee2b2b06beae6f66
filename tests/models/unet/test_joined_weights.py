"""Joined weights of q, k and v: the same network in one product, until somebody moves or replaces one of them."""

import copy

import pytest
import torch
from rounding import relative_error
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig
from latentsync_core.models.unet.attention import Attention
from latentsync_core.models.unet.joined_weights import join_weights, joined_weights


@pytest.fixture(scope="module")
def plain() -> UNet3DConditionModel:
    """In double precision, where the order of sums is all that may differ."""
    network = UNet3DConditionModel(UNetConfig.from_dict(NARROW_UNET))
    return seed_weights(network, prefix="joined.").double().requires_grad_(False)


@pytest.fixture
def joined(plain) -> UNet3DConditionModel:
    network = copy.deepcopy(plain)
    join_weights(network)
    return network


def answer(network: UNet3DConditionModel) -> torch.Tensor:
    sample = torch.from_numpy(draw("joined.sample", 1, 13, 3, 8, 8)).to(network.dtype)
    tokens = torch.from_numpy(draw("joined.audio", 3, 50, 48)).to(network.dtype)
    with torch.inference_mode():
        return network(sample, torch.tensor(500), tokens)


def joined_attentions(network: UNet3DConditionModel) -> list[Attention]:
    with torch.inference_mode():
        attentions = [module for module in network.modules() if isinstance(module, Attention)]
        return [one for one in attentions if joined_weights((one.to_q, one.to_k, one.to_v)) is not None]


def test_the_network_is_the_same_in_values_and_results(plain, joined):
    self_attentions = [one for one in plain.modules() if isinstance(one, Attention) and one.to_k.in_features != 48]
    assert len(joined_attentions(joined)) == len(self_attentions) > 0 and not joined_attentions(plain)
    before, after = plain.state_dict(), joined.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert relative_error(answer(joined), answer(plain)) < 1e-9


def test_a_weight_changed_in_place_or_replaced_counts(plain, joined):
    attention, other = joined_attentions(joined)[0], copy.deepcopy(plain)
    name = next(name for name, module in joined.named_modules() if module is attention)
    for change in (lambda layer: layer.weight.mul_(1.5), lambda layer: setattr(layer, "weight", doubled(layer))):
        for network in (joined, other):
            change(network.get_submodule(name).to_k)
        assert relative_error(answer(joined), answer(other)) < 1e-9 < relative_error(answer(joined), answer(plain))
    assert attention not in joined_attentions(joined)


def doubled(layer: torch.nn.Linear) -> torch.nn.Parameter:
    return torch.nn.Parameter(2 * layer.weight, requires_grad=False)


def test_after_a_cast_and_with_gradients_there_are_three_products(joined):
    attention = joined_attentions(joined)[0]
    with torch.enable_grad():
        assert joined_weights((attention.to_q, attention.to_k, attention.to_v)) is None
    assert not joined_attentions(joined.float())
