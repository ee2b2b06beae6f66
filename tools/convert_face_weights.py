"""Convert MediaPipe's face networks from .tflite to safetensors, once, for latentsync_core/faces/networks/weights.

    pip download --no-deps --only-binary=:all: --python-version 3.11 mediapipe==0.10.21
    pip install tflite                      # the flatbuffers schema; needed by this tool only
    python tools/convert_face_weights.py mediapipe-0.10.21-*.whl latentsync_core/faces/networks/weights

A network's weights are matched to its torch module by order: the graph is walked depth first from its outputs, which
visits every convolution and PReLU in the order in which the module registers them. Shapes are checked one by one,
and tests/faces compares the outputs with those of the original files.
"""

import argparse
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tflite
import torch
from safetensors.torch import save_file

from latentsync_core.faces.networks.blazeface import FullRangeBlazeFace, ShortRangeBlazeFace
from latentsync_core.faces.networks.facemesh import FaceMesh
from latentsync_core.faces.networks.pretrained import FACE_MESH, FULL_RANGE, SHORT_RANGE

SOURCE = "mediapipe 0.10.21, Copyright The MediaPipe Authors, Apache-2.0"
NETWORKS = (  # torch module, file in the wheel, output tensors in the order of the module's branches, our file
    (FullRangeBlazeFace, "face_detection/face_detection_full_range_sparse.tflite", (1, 0), FULL_RANGE),
    (ShortRangeBlazeFace, "face_detection/face_detection_short_range.tflite", (1, 0), SHORT_RANGE),
    (FaceMesh, "face_landmark/face_landmark.tflite", (1, 0), FACE_MESH),
)
OPERATOR_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
NUMPY_TYPES = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.FLOAT32: np.float32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl, of any platform")
    parser.add_argument("folder", type=Path, help="where the .safetensors files go")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for build, member, outputs, name in NETWORKS:
            graph = Graph(wheel.read(f"mediapipe/modules/{member}"))
            tensors = name_weights(build().state_dict(), list(graph.weights(outputs)))
            target = arguments.folder / name
            save_file(tensors, target, metadata={"source": SOURCE, "converted_from": member})
            print(f"{target}: {len(tensors)} tensors, {target.stat().st_size / 1e6:.2f} MB")


def name_weights(state: dict[str, torch.Tensor], weights: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """Give the weights, in graph order, the names of a module's state dict; float16 where that loses nothing."""
    if len(state) != len(weights):
        raise SystemExit(f"the module has {len(state)} tensors, the graph {len(weights)}")
    named = {}
    for (name, expected), values in zip(state.items(), weights, strict=True):
        if tuple(values.shape) != tuple(expected.shape):
            raise SystemExit(f"{name}: the graph has {values.shape}, the module {tuple(expected.shape)}")
        lossless = np.array_equal(values.astype(np.float16).astype(np.float32), values)
        named[name] = torch.from_numpy(np.ascontiguousarray(values.astype(np.float16 if lossless else np.float32)))
    return named


@dataclass(frozen=True)
class Operator:
    """One node of a graph: its kind and the indices of its tensors."""

    kind: str
    inputs: list[int]
    outputs: list[int]


class Graph:
    """The operators and constants of a .tflite file (schema: tensorflow/lite/schema/schema.fbs)."""

    def __init__(self, buffer: bytes):
        self.model = tflite.Model.GetRootAs(buffer, 0)
        self.subgraph = self.model.Subgraphs(0)

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """The operator that computes each tensor which is not a constant."""
        table = {}
        for i in range(self.subgraph.OperatorsLength()):
            raw = self.subgraph.Operators(i)
            code = self.model.OperatorCodes(raw.OpcodeIndex())
            kind = OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            operator = Operator(kind, raw.InputsAsNumpy().tolist(), raw.OutputsAsNumpy().tolist())
            table.update(dict.fromkeys(operator.outputs, operator))
        return table

    def weights(self, outputs: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Yield convolution weights and biases and PReLU slopes in torch's layout, in the order of computation."""
        seen: set[int] = set()
        for output in outputs:
            yield from self._weights_below(int(self.subgraph.Outputs(output)), seen)

    def _weights_below(self, tensor: int, seen: set[int]) -> Iterator[np.ndarray]:
        operator = self.producers.get(tensor)
        if operator is None or tensor in seen:
            return
        seen.add(tensor)
        for source in operator.inputs:
            yield from self._weights_below(source, seen)
        if operator.kind == "CONV_2D":
            yield self.constant(operator.inputs[1]).transpose(0, 3, 1, 2)  # (out, h, w, in) -> (out, in, h, w)
            yield self.constant(operator.inputs[2])
        elif operator.kind == "DEPTHWISE_CONV_2D":
            yield self.constant(operator.inputs[1]).transpose(3, 0, 1, 2)  # (1, h, w, c) -> (c, 1, h, w)
            yield self.constant(operator.inputs[2])
        elif operator.kind == "PRELU":
            yield self.constant(operator.inputs[1]).reshape(-1)  # (1, 1, c) -> (c,)

    def constant(self, index: int) -> np.ndarray:
        """The float32 values of a constant, through the operators that decompress it."""
        operator = self.producers.get(index)
        if operator is not None and operator.kind in ("DEQUANTIZE", "DENSIFY"):
            return self.constant(operator.inputs[0])
        tensor = self.subgraph.Tensors(index)
        values = self.model.Buffers(tensor.Buffer()).DataAsNumpy().view(NUMPY_TYPES[tensor.Type()]).astype(np.float32)
        shape = tuple(tensor.ShapeAsNumpy().tolist())
        return values.reshape(shape) if tensor.Sparsity() is None else densify(values, shape, tensor.Sparsity())


def densify(values: np.ndarray, shape: tuple[int, ...], sparsity: "tflite.SparsityParameters") -> np.ndarray:
    """Expand a sparse constant: stored levels (dense or compressed rows) in traversal order, blocks innermost.

    Source: SparsityParameters in the schema; the layout is that of the TACO tensor compiler.
    """
    order = sparsity.TraversalOrderAsNumpy().tolist()
    block_axes = sparsity.BlockMapAsNumpy().tolist() if sparsity.BlockMapLength() else []
    levels = [sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength())]
    block_sizes = [levels[order.index(len(shape) + i)].DenseSize() for i in range(len(block_axes))]
    dense = np.zeros(shape, np.float32)
    for position, coordinates in stored_entries(levels, 0, 0, ()):
        by_axis = dict(zip(order, coordinates, strict=True))
        index = [by_axis[axis] for axis in range(len(shape))]
        for i, (axis, size) in enumerate(zip(block_axes, block_sizes, strict=True)):
            index[axis] = index[axis] * size + by_axis[len(shape) + i]
        dense[tuple(index)] = values[position]
    return dense


def stored_entries(
    levels: list["tflite.DimensionMetadata"], depth: int, position: int, coordinates: tuple[int, ...]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (position in the value array, coordinate on every level) of all stored values."""
    if depth == len(levels):
        yield position, coordinates
        return
    level = levels[depth]
    if level.Format() == tflite.DimensionType.DENSE:
        children = ((position * level.DenseSize() + i, i) for i in range(level.DenseSize()))
    else:
        segments = index_vector(level.ArraySegmentsType(), level.ArraySegments())
        indices = index_vector(level.ArrayIndicesType(), level.ArrayIndices())
        children = ((i, int(indices[i])) for i in range(segments[position], segments[position + 1]))
    for child, coordinate in children:
        yield from stored_entries(levels, depth + 1, child, (*coordinates, coordinate))


def index_vector(kind: int, table) -> np.ndarray:
    """Read one of the schema's three integer vector types."""
    types = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    vector = types[kind]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy()


if __name__ == "__main__":
    main()
