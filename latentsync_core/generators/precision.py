"""The precision in which the networks of a finished segment were left, for a run that goes on after it."""

from typing import Any

from ..models.loading import Models


def networks_by_stage(models: Models) -> dict[str, Any]:
    """The network of each stage of a segment: VAE encoder, UNet and VAE decoder; None where it is the host's."""
    return {
        "encode": getattr(models.codec, "encoding", None),
        "sample": models.unet,
        "write": getattr(models.codec, "decoding", None),
    }


def precision_of(network: Any) -> str:
    """The precision of a network by name; "" where it has none."""
    return str(getattr(network, "dtype", "")).removeprefix("torch.")


def restore_precision(network: Any, left_in: str) -> None:
    """Bring a network into float32 where a finished segment left it so."""
    if left_in == "float32" and precision_of(network) not in ("", "float32"):
        network.float()
