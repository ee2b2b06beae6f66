"""What a run writes to disk: checkpoints with full metadata, and the state from which it resumes bit for bit."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn

from .. import __version__
from ..atomic_write import atomic_write
from ..errors import LatentSyncError
from ..models.tensor_file import refusing_misfits
from ..models.unet import save_unet
from .config import OptimizerConfig, TrainConfig
from .lora import save_lora
from .networks import TrainedNetworks

STATE_NAME = "state.pt"
NULL_NAME = "null_audio_tokens"  # of a learned unconditional embedding among the UNet's weights
CHANGEABLE = ("output", "watch", "device")  # between a run and its continuation; and how many steps


class TrainingState:
    """Weights, optimizer, averaged weights and loss scale of a run after `step` steps."""

    def __init__(self, networks: TrainedNetworks, config: TrainConfig):
        self.networks, self.config, self.step = networks, config, 0
        settings = config.optimizer
        self.weights = networks.trainable()
        self.optimizer = torch.optim.AdamW(
            weight_groups(self.weights, settings),
            settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.scaler = torch.amp.GradScaler(networks.unet.device.type, enabled=settings.precision == "fp16")
        self.ema = EMAModel(self.weights.values(), settings.ema, use_ema_warmup=False) if settings.ema else None

    def save(self, folder: Path) -> None:
        """Write everything that the next step depends on; the file is replaced when it is complete."""
        content = {
            "step": self.step,
            "config": self.config.to_dict(),
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
        }
        with atomic_write(folder / STATE_NAME) as temporary:
            torch.save(content, temporary)

    def restore(self, folder: Path) -> None:
        """Load what `save` wrote. Raises LatentSyncError when the config has changed since."""
        path = folder / STATE_NAME
        if not path.is_file():
            raise LatentSyncError(f"{path} does not exist, so there is nothing to resume; start without --resume.")
        with refusing_misfits(path, "state of a training run"):
            content = torch.load(path, map_location=self.networks.unet.device, weights_only=True)
            refuse_changes(path, content["config"], self.config.to_dict())
        for name, weight in self.weights.items():
            weight.data.copy_(content["weights"][name])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(content["ema"])
            self.ema.to(self.networks.unet.device)
        self.step = content["step"]

    def averaged(self) -> "AveragedWeights":
        """A context in which the UNet has its averaged weights, to be saved or sampled from."""
        return AveragedWeights(self.ema, list(self.weights.values()))

    def export(self, folder: Path, extra: dict[str, str]) -> Path:
        """Write the averaged weights as safetensors with full metadata; returns the file."""
        kind = "lora" if self.networks.lora else "unet"
        path = folder / f"{kind}-{self.step:07d}.safetensors"
        metadata = {**self.metadata(), **extra}
        with self.averaged():
            if self.networks.lora:
                save_lora(self.networks.lora, path, metadata)
            else:
                save_unet(self.networks.unet, path, metadata)
        for old in sorted(folder.glob(f"{kind}-*.safetensors"))[: -self.config.watch.keep or None]:
            old.unlink()
        return path

    def metadata(self) -> dict[str, str]:
        """The metadata of a checkpoint: conditioning, generator, resolution, origin, settings."""
        models, settings = self.networks.models, self.config.optimizer
        kept = {key: str(value) for key, value in models.unet.metadata.items() if key not in ("config", "unet_config")}
        return {
            **kept,
            **self.networks.conditioning.metadata(self.config.conditioning.dropout()),
            **self.networks.inputs.record,
            **({} if self.config.distill is None else self.config.distill.student().metadata()),
            "resolution": str(models.resolution),
            "step": str(self.step),
            "weights": f"averaged, decay {settings.ema:g}" if settings.ema else "last step",
            "base": Path(str(models.sources["unet"])).name,
            "vae": Path(str(models.sources["vae"])).name,
            "whisper": Path(str(models.sources["whisper"])).name,
            "training": json.dumps(portable(self.config.to_dict())),
            "trainer": f"latentsync {__version__}, torch {torch.__version__}",
        }


class AveragedWeights:
    """A context manager in which a network has its averaged weights."""

    def __init__(self, ema: EMAModel | None, weights: list[nn.Parameter]):
        self.ema, self.weights = ema, weights

    def __enter__(self) -> None:
        if self.ema is not None:
            self.ema.store(self.weights)
            self.ema.copy_to(self.weights)

    def __exit__(self, *_: Any) -> None:
        if self.ema is not None:
            self.ema.restore(self.weights)


def weight_groups(weights: dict[str, nn.Parameter], settings: OptimizerConfig) -> list[dict[str, Any]]:
    """AdamW's groups: all weights, or all but the learned null, which then has its own rate.

    `rate`: the factor on the learning rate of a step. The null starts as zeros and should not be drawn back to them.
    """
    if settings.null_learning_rate is None:
        return [{"params": list(weights.values()), "rate": 1.0}]
    others = [weight for name, weight in weights.items() if name != NULL_NAME]
    own = {"params": [weights[NULL_NAME]], "rate": settings.null_learning_rate / settings.learning_rate}
    return [{"params": others, "rate": 1.0}, {**own, "weight_decay": 0.0}]


def portable(config: dict[str, Any]) -> dict[str, Any]:
    """The config without the folders of the machine it ran on."""
    names = {"output", "clips", "cache", "vae", "whisper", "syncnet", "checkpoint", "lora"}
    return {
        key: portable(value) if isinstance(value, dict) else Path(value).name if key in names and value else value
        for key, value in config.items()
    }


def refuse_changes(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise LatentSyncError naming the settings that differ, other than those that may."""
    changed = [
        f"{group}.{key} was {old.get(key)!r}, is {now[group].get(key)!r}"
        for group, old in before.items()
        if isinstance(old, dict) and isinstance(now.get(group), dict) and group not in CHANGEABLE
        for key in old
        if old.get(key) != now[group].get(key) and (group, key) != ("optimizer", "steps")
    ]
    changed += [f"{key} was {before[key]!r}, is {now[key]!r}" for key in ("seed", "window") if before[key] != now[key]]
    if (before.get("distill") is None) != (now["distill"] is None):
        changed.append(f"distill was {before.get('distill')!r}, is {now['distill']!r}")
    if changed:
        raise LatentSyncError(
            f"{path} was written with other settings ({'; '.join(changed[:3])}); resume with the same config, or start "
            f"anew in another output folder."
        )
