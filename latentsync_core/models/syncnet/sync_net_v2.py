"""SyncNet v2: embeddings of five frames of lips and of the 0.2 s of voice beside them, near one another when in sync.

The network behind the published Sync-C, Sync-D and offset (Chung and Zisserman, "Out of time: automated lip sync in the
wild", 2016; REFERENCE section 1, "Sync networks"). `scoring.sync_confidence` makes those numbers of its embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import LatentSyncError
from ..tensor_file import fits, read_tensors, refusing_misfits

FRAMES = 5  # of a window
CROP_SIZE = 224  # pixels
COEFFICIENTS, MFCC_STEPS = 13, 20  # of a window's voice: cepstra, steps of 10 ms
CONVOLUTIONS = 6  # of each encoder
COUNTER = "num_batches_tracked"  # BatchNorm's, which inference does not read: a file may lack it


@dataclass(frozen=True)
class SyncNetV2Config:
    """Widths of SyncNet v2; the defaults are the published ones.

    voice, lips: channels after each of the six convolutions. hidden, embedding: of the fully connected layers.
    """

    voice: tuple[int, ...] = (64, 192, 384, 256, 256, 512)
    lips: tuple[int, ...] = (96, 256, 256, 256, 256, 512)
    hidden: int = 512
    embedding: int = 1024

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SyncNetV2Config":
        """Read the form that a file's metadata holds; LatentSyncError unless both encoders have six widths."""
        voice, lips = (tuple(int(width) for width in values[name]) for name in ("voice", "lips"))
        if len(voice) != CONVOLUTIONS or len(lips) != CONVOLUTIONS:
            raise LatentSyncError(
                f"SyncNet v2's config lists {len(voice)} widths for the voice and {len(lips)} for the lips; "
                f"{CONVOLUTIONS} each are needed."
            )
        return cls(voice, lips, int(values["hidden"]), int(values["embedding"]))


PUBLISHED_V2 = SyncNetV2Config()


class SyncNetV2(nn.Module):
    """Embeds lips and voice; the less the L2 distance of the embeddings, the better they are in sync.

    The parts have the names of the published file: netcnnlip, netfclip, netcnnaud, netfcaud.
    """

    def __init__(self, config: SyncNetV2Config = PUBLISHED_V2):
        super().__init__()
        self.config = config
        self.netcnnaud = voice_encoder(config.voice)
        self.netfcaud = embedding_layers(config.voice[-1], config.hidden, config.embedding)
        self.netcnnlip = lip_encoder(config.lips)
        self.netfclip = embedding_layers(config.lips[-1], config.hidden, config.embedding)

    def lips(self, frames: Tensor) -> Tensor:
        """frames: (b, 3, 5, 224, 224), five consecutive BGR frames of a face in 0..255, of any dtype and device.

        Returns (b, embedding) on the network's own device.
        """
        return self.netfclip(self.netcnnlip(frames.to(next(self.netfclip.parameters()))).flatten(1))

    def voice(self, mfcc: Tensor) -> Tensor:
        """mfcc: (b, 1, 13, 20), `scoring.mfcc` of the same 0.2 s, of any dtype and device.

        Returns (b, embedding) on the network's own device.
        """
        return self.netfcaud(self.netcnnaud(mfcc.to(next(self.netfcaud.parameters()))).flatten(1))


def voice_encoder(widths: tuple[int, ...]) -> nn.Sequential:
    """(b, 1, 13, 20) -> (b, widths[-1], 1, 1)."""
    a, b, c, d, e, f = widths
    return nn.Sequential(
        *activated(nn.Conv2d(1, a, 3, padding=1)),
        nn.MaxPool2d(1),  # changes nothing, but the published names count it
        *activated(nn.Conv2d(a, b, 3, padding=1)),
        nn.MaxPool2d(3, stride=(1, 2)),  # 11 x 9
        *activated(nn.Conv2d(b, c, 3, padding=1)),
        *activated(nn.Conv2d(c, d, 3, padding=1)),
        *activated(nn.Conv2d(d, e, 3, padding=1)),
        nn.MaxPool2d(3, stride=2),  # 5 x 4
        *activated(nn.Conv2d(e, f, (5, 4))),
    )


def lip_encoder(widths: tuple[int, ...]) -> nn.Sequential:
    """(b, 3, 5, 224, 224) -> (b, widths[-1], 1, 1, 1); the first convolution alone sees time."""
    a, b, c, d, e, f = widths
    return nn.Sequential(
        *activated(nn.Conv3d(3, a, (FRAMES, 7, 7), stride=(1, 2, 2))),  # 109 x 109
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),  # 54 x 54
        *activated(nn.Conv3d(a, b, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1))),  # 26 x 26
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),  # 13 x 13
        *activated(nn.Conv3d(b, c, (1, 3, 3), padding=(0, 1, 1))),
        *activated(nn.Conv3d(c, d, (1, 3, 3), padding=(0, 1, 1))),
        *activated(nn.Conv3d(d, e, (1, 3, 3), padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),  # 6 x 6
        *activated(nn.Conv3d(e, f, (1, 6, 6))),
    )


def activated(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A convolution with the BatchNorm and ReLU that follow it."""
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU()


def embedding_layers(width: int, hidden: int, embedding: int) -> nn.Sequential:
    """(b, width) -> (b, embedding)."""
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, embedding))


def load_sync_net_v2(path: Path | str, device: torch.device | str = "cpu") -> SyncNetV2:
    """Load the published syncnet_v2.model, or a narrower .safetensors with its config, in eval mode and float32.

    Raises LatentSyncError when the file is something else.
    """
    file = read_tensors(path)
    with refusing_misfits(file.path, "SyncNet v2"):
        stated = file.mapping("config")
        with torch.device("meta"):
            model = SyncNetV2(SyncNetV2Config.from_dict(stated) if stated else PUBLISHED_V2)
        expected = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(COUNTER)}
        misfits = [k for k in expected if k not in file.tensors or not fits(file.tensors[k], expected[k])]
        if misfits:
            raise LatentSyncError(
                f"{file.path} is no SyncNet v2: {len(misfits)} of {len(expected)} tensors are missing or of another "
                f"shape ({', '.join(misfits[:3])}); syncnet_v2.model (54.6 MB) is needed."
            )
        counters = {name: torch.tensor(0) for name in model.state_dict() if name.endswith(COUNTER)}
        model.load_state_dict({name: file.tensors[name] for name in expected} | counters, assign=True)
    return model.float().to(device).eval().requires_grad_(False)
