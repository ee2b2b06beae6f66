"""The three face networks against the interpreter that runs their original files."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import draw

from latentsync_core.faces.networks.blazeface import FullRangeBlazeFace, ShortRangeBlazeFace
from latentsync_core.faces.networks.facemesh import FaceMesh
from latentsync_core.faces.networks.pretrained import (
    FACE_MESH,
    FULL_RANGE,
    SHORT_RANGE,
    WEIGHTS,
    load_pretrained,
)

TOOL = Path(__file__).parents[3] / "tools" / "record_face_goldens.py"
NETWORKS = {
    "full_range": (FullRangeBlazeFace, FULL_RANGE, 23),
    "short_range": (ShortRangeBlazeFace, SHORT_RANGE, 9),
    "mesh": (FaceMesh, FACE_MESH, 1),
}


def outputs(name: str, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    build, weights, _ = NETWORKS[name]
    with torch.inference_mode():
        # In float64, where comparisons say nothing of the processor; what is recorded is float32.
        network = load_pretrained(build(), weights).double()
        numbers, logits = network(torch.from_numpy(picture).double().permute(0, 3, 1, 2))
    return numbers.numpy(), logits.numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_network_gives_the_recorded_numbers(name, golden):
    build, _, every = NETWORKS[name]
    numbers, logits = outputs(name, 0.5 * draw(f"face.{name}", 1, build.INPUT_SIZE, build.INPUT_SIZE, 3))
    recorded = golden("face_nets.npz")
    np.testing.assert_allclose(numbers[0, ::every], recorded[f"{name}.numbers"], atol=1e-3)
    np.testing.assert_allclose(logits.ravel()[::every], recorded[f"{name}.logits"], atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_the_original_file_where_its_interpreter_is_installed(name):
    wheel = os.environ.get("MEDIAPIPE_WHEEL", "")
    if not Path(wheel).is_file() or importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("needs ai-edge-litert and MEDIAPIPE_WHEEL=path of mediapipe-0.10.21-*.whl")
    spec = importlib.util.spec_from_file_location("record_face_goldens", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    member, size = tool.NETWORKS[name]
    smooth = np.kron(draw("face.smooth", 1, size // 16, size // 16, 3), np.ones((1, 16, 16, 1), np.float32))
    for picture in (draw("face.rough", 1, size, size, 3), 0.5 * smooth):
        numbers, logits = outputs(name, picture)
        expected_numbers, expected_logits = tool.run_tflite(Path(wheel), member, picture)
        np.testing.assert_allclose(numbers.ravel(), expected_numbers.ravel(), atol=1e-3)
        np.testing.assert_allclose(logits.ravel(), expected_logits.ravel(), atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_gives_what_its_pictures_give_alone(name):
    size = NETWORKS[name][0].INPUT_SIZE
    pictures = 0.5 * draw("face.batch", 3, size, size, 3)
    numbers, logits = outputs(name, pictures)
    alone_numbers, alone_logits = outputs(name, pictures[1:2])
    np.testing.assert_allclose(numbers[1:2], alone_numbers, atol=1e-9)
    np.testing.assert_allclose(logits[1:2], alone_logits, atol=1e-9)


def test_a_host_may_supply_its_own_convolutions():
    class Counting:
        built = 0

        @classmethod
        def Conv2d(cls, *args, **kwargs):  # noqa: N802
            cls.built += 1
            return torch.nn.Conv2d(*args, **kwargs)

    network = FullRangeBlazeFace(operations=Counting)
    assert Counting.built == sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()) == 91


def test_every_weight_file_is_named_in_the_notice():
    notice = (WEIGHTS / "NOTICE").read_text()
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert len(files) == len(NETWORKS)
    assert all(file.name in notice for file in files)
    assert "Apache License, Version 2.0" in notice
