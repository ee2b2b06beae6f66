"""What a UNet of LatentSync or MuseTalk looks like: as published, or any narrower one of the same shape."""

from dataclasses import asdict, dataclass, fields

from ...errors import LatentSyncError
from ...options import MAX_WINDOW_FRAMES

MUSETALK_CHANNELS = 8  # masked face 4, reference face 4


@dataclass(frozen=True)
class MotionModuleConfig:
    """One temporal transformer: frames attend to each other, pixel by pixel (AnimateDiff, arXiv 2307.04725)."""

    num_attention_heads: int = 8
    num_transformer_block: int = 1
    attention_block_types: tuple[str, ...] = ("Temporal_Self", "Temporal_Self")
    temporal_position_encoding: bool = True
    temporal_position_encoding_max_len: int = MAX_WINDOW_FRAMES
    temporal_attention_dim_div: int = 1
    zero_initialize: bool = True


@dataclass(frozen=True)
class UNetConfig:
    """The 3D UNet's shape; the defaults are LatentSync 1.5 and 1.6 (REFERENCE section 1).

    Keys keep the names of the published configuration files. Two of them mislead there as well:
    `attention_head_dim` counts heads, and `sample_size` (latent pixels) is informative only.
    """

    sample_size: int = 64
    in_channels: int = 13  # noisy 4, mask 1, masked face 4, reference face 4
    out_channels: int = 4
    center_input_sample: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = (*("CrossAttnDownBlock3D",) * 3, "DownBlock3D")
    mid_block_type: str = "UNetMidBlock3DCrossAttn"
    up_block_types: tuple[str, ...] = ("UpBlock3D", *("CrossAttnUpBlock3D",) * 3)
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    downsample_padding: int = 1
    mid_block_scale_factor: float = 1.0
    act_fn: str = "silu"
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 384
    attention_head_dim: int = 8
    resnet_time_scale_shift: str = "default"
    add_audio_layer: bool = True
    use_motion_module: bool = True
    motion_module_resolutions: tuple[int, ...] = (1, 2, 4, 8)
    motion_module_mid_block: bool = False
    motion_module_decoder_only: bool = False
    motion_module_type: str = "Vanilla"
    motion_module_kwargs: MotionModuleConfig = MotionModuleConfig()
    null_audio_tokens: int = (
        0  # tokens of a learned unconditional embedding, 1 = the same for all; 0 = zeros, as published
    )

    def __post_init__(self) -> None:
        for name, only in SUPPORTED_VALUES.items():
            if getattr(self, name) != only:
                raise LatentSyncError(f"UNet config {name} is {getattr(self, name)!r}; only {only!r} is supported.")
        levels = len(self.block_out_channels)
        if not len(self.down_block_types) == len(self.up_block_types) == levels:
            raise LatentSyncError(
                f"UNet config lists {len(self.down_block_types)} down blocks, {len(self.up_block_types)} up blocks and "
                f"{levels} channel counts; the three must be equally long."
            )
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups or channels % self.attention_head_dim:
                raise LatentSyncError(
                    f"UNet config has a block of {channels} channels; it must divide by norm_num_groups "
                    f"{self.norm_num_groups} and by {self.attention_head_dim} attention heads."
                )

    @classmethod
    def from_dict(cls, values: dict) -> "UNetConfig":
        """Build a config from JSON or YAML values, lists and numeric strings included.

        A configuration of diffusers' UNet2DConditionModel, as MuseTalk publishes, is one without motion modules.
        Raises LatentSyncError naming the keys it does not know, since a misspelt key would change the network.
        """
        values = _stages_of_clips(values)
        known = {field.name: field for field in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise LatentSyncError(
                f"UNet config has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}."
            )
        converted = {name: _like_default(known[name].default, value) for name, value in values.items()}
        return cls(**converted)

    def to_dict(self) -> dict:
        """The JSON form that `from_dict` reads back."""
        return asdict(self)

    @property
    def generator(self) -> str:
        """Which generator a network of this shape belongs to: "latentsync" or "musetalk" (REFERENCE section 2)."""
        is_musetalk = self.in_channels == MUSETALK_CHANNELS and not self.use_motion_module
        return "musetalk" if is_musetalk else "latentsync"

    @property
    def max_window_frames(self) -> int:
        """Frames the temporal position table reaches; longer windows cannot be run."""
        return self.motion_module_kwargs.temporal_position_encoding_max_len

    def has_motion(self, level: int, decoder: bool) -> bool:
        """Whether the blocks at `level` (0 = full latent resolution) carry motion modules."""
        at_level = 2**level in self.motion_module_resolutions
        return self.use_motion_module and at_level and (decoder or not self.motion_module_decoder_only)


SUPPORTED_VALUES = {
    "act_fn": "silu",
    "mid_block_type": "UNetMidBlock3DCrossAttn",
    "resnet_time_scale_shift": "default",
    "motion_module_type": "Vanilla",
}


def _stages_of_clips(values: dict) -> dict:
    """A configuration of stages that see one picture, as one of stages that see clips without motion modules."""
    names = ("down_block_types", "up_block_types")
    if not any(str(stage).endswith("2D") for name in names for stage in values.get(name, ())):
        return values
    stages = {
        name: [f"{str(stage).removesuffix('2D')}3D" for stage in values[name]] for name in names if name in values
    }
    return {"use_motion_module": False, **values, **stages}


def _like_default(default, value):
    """`value` in the type of `default`: YAML reads 1e-5 as a string and every sequence as a list."""
    if isinstance(default, MotionModuleConfig):
        if isinstance(value, MotionModuleConfig):
            return value
        known = {field.name: field for field in fields(MotionModuleConfig)}
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise LatentSyncError(f"UNet config motion_module_kwargs has unknown keys {', '.join(unknown)}.")
        return MotionModuleConfig(**{name: _like_default(known[name].default, v) for name, v in value.items()})
    if isinstance(default, tuple):
        return tuple(value)
    if isinstance(default, bool):
        return bool(value)
    return type(default)(value)
