"""Everything in one node; it unfolds into the stages, so that the executor caches each of them."""

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder, is_link

from ..latentsync_core.options import (
    ALIGNMENTS,
    BLENDS,
    CODECS,
    DEFAULT_CRF,
    DEFAULT_FACE,
    DEFAULT_GUIDANCE,
    DEFAULT_MAX_GAP,
    DEFAULT_SEED,
    DEFAULT_STEPS,
    DEFAULT_THRESHOLD,
    EXTENSIONS,
    JOINS,
    LENGTHS,
    MAX_OFFSET_MS,
    MAX_SEED,
    MAX_STEPS,
    POSITIONS,
    SILENCES,
    SOLVERS,
    WINDOW_FRAMES,
)
from .blend import limit_input
from .types import CATEGORY, CUSTOM, FRAME_CHOICES, IMAGES_FPS, WhisperType, found_by, preset_input

MUSETALK_LOADER = "LatentSyncLoadMuseTalkModel"

SEARCH_WORDS = (
    "lip sync",
    "lipsync",
    "dub",
    "dubbing",
    "talking head",
    "mouth",
    "wav2lip",
    "musetalk",
    "sync video audio",
    "speech to video",
)


class LipSync(io.ComfyNode):
    """VIDEO + AUDIO -> VIDEO.

    The inputs arrive as links, not values: the unfolded stages then have the same ancestors in every run, which is what
    lets the executor find their results in its cache.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncLipSync",
            display_name="LatentSync Lip Sync",
            category=CATEGORY,
            description="Makes the face in a video speak a voice. It unfolds into the separate LatentSync nodes with "
            "their defaults, so a second run repeats only what changed.",
            inputs=[
                io.Video.Input("video", raw_link=True, tooltip="The video whose face is to speak."),
                io.Audio.Input("audio", raw_link=True, tooltip="The voice."),
                io.Model.Input(
                    "model",
                    raw_link=True,
                    tooltip="From LatentSync Load Model, or from LatentSync Load MuseTalk Model, which has no use for steps, "
                    "guidance, seed and preset.",
                ),
                WhisperType.Input(
                    "whisper",
                    raw_link=True,
                    tooltip="From LatentSync Load Whisper; for MuseTalk with its generator set to musetalk.",
                ),
                io.Vae.Input(
                    "vae",
                    raw_link=True,
                    tooltip="A Stable Diffusion 1.5 VAE; sd-vae-ft-mse is the one it was trained with. The embedded model needs "
                    "the embedded VAE, from LatentSync Load VAE.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=1024,
                    step=64,
                    tooltip="Size of the face crop in pixels; 0 is the model's own. At another size than it was trained at, a "
                    "model loses lip-sync.",
                ),
                io.Int.Input(
                    "steps", default=DEFAULT_STEPS, min=1, max=MAX_STEPS, tooltip="Denoising steps: 20 to 50."
                ),
                io.Float.Input(
                    "guidance",
                    default=DEFAULT_GUIDANCE,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How strongly the voice drives the mouth: 1 to 3.",
                ),
                io.Int.Input(
                    "seed",
                    default=DEFAULT_SEED,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="The same seed gives the same result.",
                ),
                io.Combo.Input(
                    "length",
                    options=list(LENGTHS),
                    tooltip="What the result lasts as long as: voice, video, or shorter.",
                ),
                io.Combo.Input(
                    "extend",
                    options=list(EXTENSIONS),
                    tooltip="Where the picture comes from when the voice is longer than the video.",
                ),
                io.Combo.Input(
                    "silence",
                    options=list(SILENCES),
                    default=SILENCES[0],
                    optional=True,
                    tooltip="While nobody speaks: off generates as ever, rest lets the generated mouth rest, keep fades "
                    "to the filmed one.",
                ),
                io.Int.Input(
                    "offset",
                    default=0,
                    min=-MAX_OFFSET_MS,
                    max=MAX_OFFSET_MS,
                    optional=True,
                    tooltip="Milliseconds the mouth moves later than the sound; below 0, earlier.",
                ),
                io.String.Input(
                    "face",
                    default=DEFAULT_FACE,
                    optional=True,
                    tooltip="Who speaks: auto, largest, left, right, a number of Face Track's preview, a point x,y or a box "
                    "x0,y0,x1,y1. Or choose with the mouse below.",
                ),
                preset_input(),
                limit_input(raw_link=True),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The result, with the original voice.")],
            hidden=[io.Hidden.dynprompt],
            enable_expand=True,
            **found_by(*SEARCH_WORDS),
        )

    @classmethod
    def execute(
        cls,
        video,
        audio,
        model,
        whisper,
        vae,
        resolution,
        steps,
        guidance,
        seed,
        length,
        extend,
        silence=SILENCES[0],
        offset=0,
        face=DEFAULT_FACE,
        preset=CUSTOM,
        limit=None,
    ) -> io.NodeOutput:
        graph = GraphBuilder()
        # Only where it shapes the crop: whatever the model goes into is done again with every change of its LoRA.
        shaped_by = {"model": model} if comes_from(MUSETALK_LOADER, model, cls.hidden.dynprompt) else {}
        faces = graph.node(
            "LatentSyncFaceTrack",
            video=video,
            images_fps=IMAGES_FPS,
            alignment=ALIGNMENTS[0],
            detection_threshold=DEFAULT_THRESHOLD,
            max_gap=DEFAULT_MAX_GAP,
            face=face,
            **shaped_by,
        )
        sized_by = {} if resolution else {"model": model}
        encoded = graph.node(
            "LatentSyncFaceEncode",
            faces=faces.out(0),
            vae=vae,
            resolution=resolution,
            crops=FRAME_CHOICES[0],
            **sized_by,
        )
        features = graph.node(
            "LatentSyncAudioFeatures", audio=audio, whisper=whisper, joins=JOINS[0], cache=True, silence=silence
        )
        chunks = graph.node(
            "LatentSyncAudioChunks",
            features=features.out(0),
            faces=faces.out(0),
            length=length,
            extend=extend,
            window=WINDOW_FRAMES,
            fps=0.0,
            offset=offset,
        )
        tokens = graph.node("LatentSyncPositionEncoding", tokens=chunks.out(0), model=model, mode=POSITIONS[0])
        joined = graph.node("LatentSyncConditioning", face_latents=encoded.out(0), tokens=tokens.out(0))
        sampled = graph.node(
            "LatentSyncSampler",
            model=model,
            positive=joined.out(0),
            negative=joined.out(1),
            latent=joined.out(2),
            steps=steps,
            guidance=guidance,
            seed=seed,
            schedule=SOLVERS[0],
            preset=preset,
        )
        limited = {} if limit is None else {"limit": limit}
        blended = graph.node(
            "LatentSyncFaceBlend",
            faces=faces.out(0),
            tokens=tokens.out(0),
            latent=sampled.out(0),
            vae=vae,
            blend=BLENDS[0],
            crf=DEFAULT_CRF,
            codec=CODECS[0],
            images_out=FRAME_CHOICES[0],
            **limited,
        )
        return io.NodeOutput(blended.out(0), expand=graph.finalize())


def comes_from(kind: str, link: list, prompt) -> bool:
    """Whether a node of a kind is behind a link, [node id, output], through any number of others.

    prompt: the host's DynamicPrompt.
    """
    waiting, seen = [link], set()
    while waiting:
        number, _ = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        node = prompt.get_node(number)
        if node["class_type"] == kind:
            return True
        waiting += [value for value in node["inputs"].values() if is_link(value)]
    return False
