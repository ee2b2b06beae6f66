"""torch.compile changes neither result nor tensor names; where it fails the network runs on, and says so once."""

import logging

import pytest
import torch

from latentsync_core.models.compiled import compile_network


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))


@pytest.mark.long
def test_a_compiled_network_gives_the_same_and_keeps_its_names():
    network, x = small_network(), torch.randn(4, 8)
    plain, names = network(x), list(network.state_dict())
    compile_network(network, "on")
    torch.testing.assert_close(network(x), plain)
    assert list(network.state_dict()) == names


def test_where_compiling_fails_the_network_runs_as_it_is_and_one_sentence_says_why(monkeypatch, caplog):
    def broken(forward, mode):
        def call(*_):
            raise RuntimeError("no C++ compiler\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    network, x = small_network(), torch.randn(4, 8)
    plain = network(x)
    compile_network(network, "on")
    with caplog.at_level(logging.WARNING):
        assert torch.equal(network(x), plain) and torch.equal(network(x), plain)
    (line,) = caplog.messages
    assert "no C++ compiler" in line and "trace" not in line and "uncompiled" in line


def test_off_leaves_the_network_alone():
    network = small_network()
    compile_network(network, "off")
    assert "forward" not in vars(network)
