"""Which file makes a student of a checkpoint, found before torch is imported."""

from pathlib import Path

from ..errors import LatentSyncError
from ..student import Student
from .catalog import check_model_file, newest_unet
from .safetensors_header import METADATA_PREFIX, read_header

EMBEDDED_STUDENT = Path(__file__).parent / "embedded" / "student.safetensors"
STUDENT_NAME = "{}-student.safetensors"  # beside the checkpoint it was trained on, after whose name it is called


def recorded_student(path: Path | str) -> Student | None:
    """How the checkpoint or LoRA at `path` samples in few steps; None where it is no student.

    Only .safetensors say. Raises LatentSyncError naming a file that is not there or whose record cannot be; of one that
    is damaged, loading tells.
    """
    path = Path(path)
    check_model_file(path)
    header = read_header(path) if path.suffix == ".safetensors" else None
    strings = (header or {}).get("__metadata__", {})
    try:
        return Student.recorded({name.removeprefix(METADATA_PREFIX): value for name, value in strings.items()})
    except LatentSyncError as error:
        raise LatentSyncError(f"{path}: {error}") from error


def student_of(lora: Path | str | None, checkpoint: Path | str | None) -> Student | None:
    """How a checkpoint with a LoRA, where either is named, samples in few steps; None where neither is a student's."""
    files = [path for path in (lora, checkpoint) if path is not None and path != "embedded"]
    return next((student for path in files if (student := recorded_student(path)) is not None), None)


def student_lora(checkpoint: Path | str | None, folder: Path) -> Path | None:
    """The LoRA by which `checkpoint` samples in few steps: for the embedded model the package's, else its neighbour.

    checkpoint: as of `load_models`. folder: of models. None where there is none.
    """
    chosen = newest_unet(folder) if checkpoint is None else checkpoint
    if chosen is None or chosen == "embedded":
        return EMBEDDED_STUDENT if EMBEDDED_STUDENT.is_file() else None
    beside = Path(chosen).with_name(STUDENT_NAME.format(Path(chosen).stem))
    return beside if beside.is_file() else None
