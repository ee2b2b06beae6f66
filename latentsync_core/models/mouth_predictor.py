"""Predict the shape of the mouth from a voice: a small convolution over Whisper's hidden states."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import LatentSyncError
from .tensor_file import fits, read_tensors, refusing_misfits

MOUTH_SHAPE = ("opening", "width", "rounding")
CONTEXT_STEPS = 9  # 180 ms at 50 Hz: a mouth prepares a sound about 100 ms ahead
HIDDEN = 24


class MouthPredictor(nn.Module):
    """Audio features of any length to the mouth that speaks them.

    layers, width: of the features. hidden: channels inside.
    """

    def __init__(self, layers: int, width: int, hidden: int = HIDDEN):
        super().__init__()
        self.layers, self.width = layers, width
        self.reduce = nn.Conv1d(layers * width, hidden, 1)
        self.context = nn.Conv1d(hidden, hidden, CONTEXT_STEPS, padding="same")
        self.shape = nn.Conv1d(hidden, len(MOUTH_SHAPE), 1)

    def forward(self, features: Tensor) -> Tensor:
        """(b, t, layers, width) at 50 Hz -> (b, t, 3): opening 0..1, width -1..1 with 0 at rest, rounding 0..1."""
        x = features.flatten(2).transpose(1, 2)  # (b, layers * width, t)
        x = nn.functional.gelu(self.reduce(x))
        x = nn.functional.gelu(self.context(x))
        return self.shape(x).transpose(1, 2)

    @torch.inference_mode()
    def mouth(self, features: Tensor) -> Tensor:
        """The mouth of one voice within its limits: (t, layers, width) -> (t, 3) float32, as of `forward`."""
        opening, width, rounding = self(features[None].float())[0].unbind(1)
        return torch.stack([opening.clamp(0, 1), width.clamp(-1, 1), rounding.clamp(0, 1)], dim=1)


def load_mouth_predictor(path: Path | str) -> MouthPredictor:
    """Load a MouthPredictor in float32 on the CPU. Raises LatentSyncError when the file is something else."""
    file = read_tensors(path)
    with refusing_misfits(file.path, "mouth predictor"):
        about = file.mapping("predictor") or {}
        if not {"layers", "width", "hidden"} <= about.keys():
            raise LatentSyncError(
                f"{file.path} is no mouth predictor: its header does not state layers, width and hidden; "
                "train one with `python -m latentsync_core.training.micro.mouth_predictor`."
            )
        model = MouthPredictor(**{name: int(about[name]) for name in ("layers", "width", "hidden")})
        expected = model.state_dict()
        tensors = file.tensors
        misfits = [name for name in expected if name not in tensors or not fits(tensors[name], expected[name])]
        if misfits:
            raise LatentSyncError(
                f"{file.path} is an incomplete mouth predictor ({', '.join(misfits)}); train it again."
            )
        model.load_state_dict({name: tensors[name] for name in expected})
    return model.float().eval().requires_grad_(False)
