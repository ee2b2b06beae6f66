"""Load the networks: the UNet as a MODEL, Whisper, and the VAE."""

from dataclasses import replace

from comfy_api.latest import io

from ..latentsync_core.options import MOST_BBOX_SHIFT, MUSETALK_RELEASES, PRECISIONS, UNET_GENERATORS
from .host import folders
from .host.published_files import UNET_FOLDERS, VAE_FOLDERS, WHISPER_FOLDERS
from .types import CATEGORY, MuseTalkBox, WhisperType

EMBEDDED = "embedded (one portrait)"
EMBEDDED_ANY_FACE = "embedded (any face)"
HOST_PRECISIONS = ("fp8_e4m3fn", "fp8_e5m2")  # the host's own names; it alone computes from such weights
DTYPE_TOOLTIP = (
    "Precision of the stored weights. auto lets the host choose for your hardware; bf16 or fp32 help when the result turns "
    "black or noisy. fp8 takes a quarter of the memory of fp32, half of fp16, and costs some exactness; it is cast to the "
    "working precision layer by layer."
)


class LoadModel(io.ComfyNode):
    """A LatentSync checkpoint as a native MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folders.model_files(*UNET_FOLDERS, likely=("latentsync_unet", "latentsync"))
        return io.Schema(
            node_id="LatentSyncLoadModel",
            display_name="LatentSync Load Model",
            category=CATEGORY,
            description="Loads a LatentSync 1.5 or 1.6 UNet as a MODEL that works with stock samplers, LoRA loaders and "
            "the host's memory management. Files go into models/latentsync or models/diffusion_models.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=[*files, EMBEDDED, EMBEDDED_ANY_FACE],
                    tooltip="The UNet file, such as latentsync_unet_1.6.pt. The embedded model needs no file and really "
                    "speaks, but knows one portrait only and refuses other faces; any face lets it paint them all the same, "
                    "badly. It goes with the embedded Whisper and the embedded VAE.",
                ),
                io.Combo.Input(
                    "noise",
                    options=["shared", "independent"],
                    tooltip="shared: every frame starts from the same noise, as the model was published, whatever "
                    "sampler you use. independent: leave the sampler's own noise per frame; the mouth flickers more.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=1024,
                    step=64,
                    tooltip="Size of the face crop in pixels. 0 follows the checkpoint: 256 for 1.5, 512 for 1.6. "
                    "At another size than it was trained at, a model loses lip-sync.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[*PRECISIONS, *HOST_PRECISIONS],
                    tooltip=DTYPE_TOOLTIP,
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="A MODEL for the LatentSync Sampler and for stock samplers."
                ),
                io.Int.Output(display_name="resolution", tooltip="The crop size this model wants; feeds Face Encode."),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None) -> bool | str:
        return folders.file_is_there(checkpoint, UNET_FOLDERS, EMBEDDED, EMBEDDED_ANY_FACE)

    @classmethod
    def execute(cls, checkpoint: str, noise: str, resolution: int, dtype: str) -> io.NodeOutput:
        from ..latentsync_core.models.loading import native_resolution, working_resolution
        from ..latentsync_core.models.unet import read_checkpoint
        from .host.messages import warnings_in_node
        from .host.native_model import ANY_FACE, native_model, stored_dtype

        if checkpoint in (EMBEDDED, EMBEDDED_ANY_FACE):
            from ..latentsync_core.models.embedded import embedded_checkpoint

            loaded = embedded_checkpoint()
            if checkpoint == EMBEDDED_ANY_FACE:
                loaded = replace(loaded, metadata={**loaded.metadata, ANY_FACE: "on"})
        else:
            loaded = read_checkpoint(folders.model_path(checkpoint, *UNET_FOLDERS), generator="latentsync")
        native = native_resolution(loaded.metadata, loaded.path)
        with warnings_in_node():
            size = working_resolution(resolution or None, native, checkpoint)
        model = native_model(loaded, stored_dtype(dtype), noise)
        model.model.crop_size = size
        return io.NodeOutput(model, size)


class LoadMuseTalkModel(io.ComfyNode):
    """A MuseTalk checkpoint as a native MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncLoadMuseTalkModel",
            display_name="LatentSync Load MuseTalk Model",
            category=CATEGORY,
            description="Loads a MuseTalk 1.5 or 1.0 UNet as a MODEL that redraws every face in one step: a KSampler with "
            "1 step and cfg 1. Connect it to Face Track too, as its crop is another, and choose musetalk in Load Whisper. "
            "Files go into models/latentsync or models/diffusion_models.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=[*folders.model_files(*UNET_FOLDERS, likely=("musetalk",)), EMBEDDED],
                    tooltip="The UNet file, such as musetalk_1.5.pth. The embedded model needs no file, but knows one "
                    "portrait only; it goes with the embedded Whisper and the embedded VAE.",
                ),
                io.Combo.Input(
                    "release",
                    options=["auto", *MUSETALK_RELEASES],
                    tooltip="Where its crop ends: 1.5 goes 10 pixels below the chin, 1.0 does not. auto goes by the "
                    "file and its name.",
                ),
                io.Int.Input(
                    "bbox_shift",
                    default=0,
                    min=-MOST_BBOX_SHIFT,
                    max=MOST_BBOX_SHIFT,
                    tooltip="Pixels by which the middle of the crop lies below the bridge of the nose, -9 to 9. Above 0 "
                    "the mouth opens more, below 0 less.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[*PRECISIONS, *HOST_PRECISIONS],
                    tooltip=DTYPE_TOOLTIP,
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For Face Track and for a stock sampler with one step."),
                io.Int.Output(display_name="resolution", tooltip="The crop size this model wants; feeds Face Encode."),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None) -> bool | str:
        return folders.file_is_there(checkpoint, UNET_FOLDERS, EMBEDDED)

    @classmethod
    def execute(cls, checkpoint: str, release: str, bbox_shift: int, dtype: str) -> io.NodeOutput:
        from ..latentsync_core.generators.musetalk.loading import release_of, resolution_of
        from ..latentsync_core.models.embedded import MUSETALK
        from ..latentsync_core.models.unet import read_checkpoint
        from .host.native_model import stored_dtype
        from .host.native_musetalk import native_musetalk

        path = MUSETALK if checkpoint == EMBEDDED else folders.model_path(checkpoint, *UNET_FOLDERS)
        loaded = read_checkpoint(path, generator="musetalk")
        release = release_of(loaded.metadata, loaded.path) if release == "auto" else release
        model = native_musetalk(loaded, stored_dtype(dtype), MuseTalkBox(release, bbox_shift))
        model.model.crop_size = resolution_of(loaded.metadata, loaded.path)
        return io.NodeOutput(model, model.model.crop_size)


class LoadWhisper(io.ComfyNode):
    """Whisper's audio encoder under the host's memory management."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folders.model_files(*WHISPER_FOLDERS, likely=("whisper", "tiny"))
        return io.Schema(
            node_id="LatentSyncLoadWhisper",
            display_name="LatentSync Load Whisper",
            category=CATEGORY,
            description="Loads the encoder of Whisper tiny, through which LatentSync hears the voice. Files go into "
            "models/latentsync or models/audio_encoders.",
            inputs=[
                io.Combo.Input(
                    "whisper",
                    options=[*files, EMBEDDED],
                    tooltip="The Whisper file, such as whisper_tiny.pt. The embedded one goes with the embedded model and with no other.",
                ),
                io.Combo.Input(
                    "generator",
                    options=list(UNET_GENERATORS),
                    default=UNET_GENERATORS[0],
                    optional=True,
                    tooltip="Whose features it is to give: the model that will sample. MuseTalk was trained on the last "
                    "layer after its norm, LatentSync before it.",
                ),
            ],
            outputs=[WhisperType.Output(display_name="whisper", tooltip="For Audio Features.")],
        )

    @classmethod
    def validate_inputs(cls, whisper: str | None) -> bool | str:
        return folders.file_is_there(whisper, WHISPER_FOLDERS, EMBEDDED)

    @classmethod
    def execute(cls, whisper: str, generator: str = UNET_GENERATORS[0]) -> io.NodeOutput:
        from ..latentsync_core.models.embedded import WHISPER
        from ..latentsync_core.models.whisper import load_whisper
        from .host.memory import patch_small_model

        path = WHISPER if whisper == EMBEDDED else folders.model_path(whisper, *WHISPER_FOLDERS)
        return io.NodeOutput(patch_small_model(load_whisper(path, generator)))


class LoadVAE(io.ComfyNode):
    """A VAE file as the host loads it, or the embedded one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folders.model_files(*VAE_FOLDERS, likely=("sd-vae-ft-mse", "ft-mse", "ft-ema", "sd-vae"))
        return io.Schema(
            node_id="LatentSyncLoadVAE",
            display_name="LatentSync Load VAE",
            category=CATEGORY,
            description="Loads the VAE through which LatentSync sees and draws faces. Files are loaded as by the stock "
            "Load VAE; the embedded one needs no file. What comes out is a VAE for every node that takes one.",
            inputs=[
                io.Combo.Input(
                    "vae",
                    options=[*files, EMBEDDED],
                    tooltip="The VAE file from models/vae, best sd-vae-ft-mse. The embedded one goes with the embedded "
                    "model and with no other.",
                ),
            ],
            outputs=[
                io.Vae.Output(display_name="vae", tooltip="For Face Encode and Face Blend, and for stock VAE nodes.")
            ],
        )

    @classmethod
    def validate_inputs(cls, vae: str | None) -> bool | str:
        return folders.file_is_there(vae, VAE_FOLDERS, EMBEDDED)

    @classmethod
    def execute(cls, vae: str) -> io.NodeOutput:
        from .host.vae_loading import embedded_as_host_vae, file_vae

        return io.NodeOutput(embedded_as_host_vae() if vae == EMBEDDED else file_vae(vae))
