"""Pack a trained student's LoRA as the package carries it: in half precision, with its loss curve beside the recipe.

``python -m latentsync_core.training.micro.student RUN/lora-NNNNNNN.safetensors OUT.safetensors`` after student.toml.
"""

import argparse
import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from ...errors import LatentSyncError
from ...file_names import utf8_path
from ...models.tensor_file import METADATA_PREFIX, read_tensors
from ...student import Student
from ..run_log import LOG_NAME
from .trained_file import ONE_PORTRAIT


def pack_student(source: Path, target: Path) -> Path:
    """Write the LoRA `source` of a distillation as float16 to `target`, and the losses of its run as .json beside it.

    Raises LatentSyncError for a file that is no student's.
    """
    file = read_tensors(source)
    if Student.recorded(file.about) is None:
        raise LatentSyncError(f"{source} is no student's LoRA; train one with a [distill] section.")
    strings = {METADATA_PREFIX + name: value for name, value in {**file.about, "knows": ONE_PORTRAIT}.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with utf8_path(target) as openable:
        save_file({name: tensor.half().contiguous() for name, tensor in file.tensors.items()}, openable, strings)
    lines = (source.parent / LOG_NAME).read_text(encoding="utf-8").splitlines()
    history = [
        {"step": line["step"], "loss": round(line["loss"], 5)} for line in map(json.loads, lines) if "loss" in line
    ]
    record = {**file.about, "training": json.loads(file.about["training"]), "history": history}
    target.with_suffix(".json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return target


def main() -> int:
    """The command: 0, or 2 and one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m latentsync_core.training.micro.student", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    chosen = parser.parse_args()
    try:
        pack_student(chosen.source, chosen.target)
    except LatentSyncError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
