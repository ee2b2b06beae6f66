"""The networks of a run: the UNet, which of its weights are trained, and the frozen VAE and Whisper."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..audio.tokens import STEPS_PER_FRAME
from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..generators.musetalk.loading import load_musetalk
from ..models.embedded import VAE, WHISPER
from ..models.loading import Models, check_width, load_models
from ..models.unet import UNet3DConditionModel, UNetConfig
from ..models.vae import AutoencoderCodec, load_vae
from ..models.whisper import load_whisper
from .config import ModelConfig, TrainConfig
from .generator_inputs import INPUTS, GeneratorInputs
from .lora import LoraLayer, add_lora, read_lora

NEW_MODEL = "a new UNet"


@dataclass(frozen=True)
class TrainedNetworks:
    """models: all networks. inputs: of the generator whose UNet it is. conditioning: how training conditions.
    lora: layers by name, empty without LoRA.
    """

    models: Models
    inputs: GeneratorInputs
    conditioning: TrainedConditioning
    lora: dict[str, LoraLayer] = field(default_factory=dict)

    @property
    def unet(self) -> UNet3DConditionModel:
        """The UNet in training."""
        return self.models.unet

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The weights that are trained, by name."""
        return {name: weight for name, weight in self.unet.named_parameters() if weight.requires_grad}


def load_networks(config: TrainConfig, device: torch.device) -> TrainedNetworks:
    """Everything a run needs, in float32 on `device`, with gradients enabled for what is trained.

    Raises LatentSyncError for files that do not fit one another or the config.
    """
    settings = config.model
    models = load_base_models(settings, config.seed, device)
    unet = models.unet
    position = config.conditioning.position_encoding
    if config.conditioning.null == "learned":
        models = replace(models, unet=with_learned_null(unet, STEPS_PER_FRAME * models.whisper.layers, config.seed))
        unet = models.unet
    if (
        settings.train == "lora"
        and TrainedConditioning.of_models(models, position).positions != TrainedConditioning.of_models(models).positions
    ):
        raise LatentSyncError(
            f"conditioning.position_encoding is {position!r}, but a LoRA is loaded on top of its checkpoint, which "
            f"records otherwise: set it to auto."
        )
    lora = select_weights(unet, settings, config.seed)
    if settings.lora is not None:
        read_lora(lora, settings.lora)
    if config.distill is not None and unet.null_audio_tokens is not None:
        unet.null_audio_tokens.requires_grad_(False)  # a student is used without guidance
    unet.enable_gradient_checkpointing(config.optimizer.gradient_checkpointing)
    return TrainedNetworks(models, INPUTS[settings.generator], TrainedConditioning.of_models(models, position), lora)


def load_base_models(settings: ModelConfig, seed: int, device: torch.device) -> Models:
    """UNet, VAE and Whisper: from files, embedded, or newly initialised."""
    if settings.checkpoint is not None:
        models = loaded_models(settings, device)
        unet = with_added_parts(models.unet, settings.unet, seed) if settings.unet else models.unet
        return replace(models, unet=unet, resolution=settings.resolution or models.resolution)
    if settings.resolution is None:
        raise LatentSyncError("model.resolution is missing; a new UNet needs it, 256 is usual.")
    unet = new_unet({**INPUTS[settings.generator].unet, **settings.unet}, seed)
    codec = AutoencoderCodec(load_vae(settings.vae or VAE))
    whisper = load_whisper(settings.whisper or WHISPER, settings.generator)
    sources = {"unet": NEW_MODEL, "vae": settings.vae or "embedded", "whisper": settings.whisper or "embedded"}
    check_width(unet, whisper, sources)
    codec.autoencoder.to(device)
    return Models(
        unet=unet.to(device),
        codec=codec,
        whisper=whisper.to(device),
        device=device,
        resolution=settings.resolution,
        sources=sources,
    )


def loaded_models(settings: ModelConfig, device: torch.device) -> Models:
    """The networks of a checkpoint, in float32."""
    options = {"vae": settings.vae, "whisper": settings.whisper, "device": str(device), "precision": "fp32"}
    if settings.generator == "musetalk":
        return load_musetalk(settings.checkpoint, **options).models
    return load_models(settings.checkpoint, **options)


def new_unet(shape: dict[str, Any], seed: int) -> UNet3DConditionModel:
    """A UNet with PyTorch's initial weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet3DConditionModel(UNetConfig.from_dict(shape))


def with_added_parts(unet: UNet3DConditionModel, changes: dict[str, Any], seed: int) -> UNet3DConditionModel:
    """The same UNet with further parts, such as motion modules, newly initialised.

    changes: entries of its config. Raises LatentSyncError where one of its weights would be lost or change its shape.
    """
    extended = new_unet({**unet.config.to_dict(), **changes}, seed).to(unet.device, unet.dtype)
    try:
        lost = extended.load_state_dict(unet.state_dict(), strict=False).unexpected_keys
    except RuntimeError as error:  # torch lists every weight of another size
        lost = [str(error).splitlines()[1].strip()]
    if lost:
        raise LatentSyncError(
            f"model.unet does not keep what model.checkpoint holds ({lost[0]}); beside a checkpoint it may only add "
            f"parts, such as use_motion_module = true."
        )
    extended.metadata = dict(unet.metadata)
    return extended


def with_learned_null(unet: UNet3DConditionModel, tokens: int, seed: int) -> UNet3DConditionModel:
    """The same UNet with a learned unconditional embedding, initially zeros, as the published models use."""
    if unet.null_audio_tokens is not None:
        return unet
    extended = with_added_parts(unet, {"null_audio_tokens": tokens}, seed)
    extended.metadata["null"] = "learned"
    return extended


def select_weights(unet: UNet3DConditionModel, settings: ModelConfig, seed: int) -> dict[str, LoraLayer]:
    """Enable gradients as the config says; returns the LoRA layers, if any."""
    if settings.train == "lora":
        generator = torch.Generator().manual_seed(seed)
        return add_lora(unet, settings.lora_rank, settings.lora_alpha, settings.lora_targets, generator)
    chosen = 0
    for name, weight in unet.named_parameters():
        wanted = settings.train == "all" or name == "null_audio_tokens" or any(p in name for p in settings.modules)
        weight.requires_grad_(wanted)
        chosen += wanted
    if not chosen:
        raise LatentSyncError(f"No weight's name contains {' or '.join(settings.modules)} (model.modules); try attn2.")
    return {}
