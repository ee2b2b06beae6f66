"""From a voice to the tokens that each output frame hears."""

from fractions import Fraction

from comfy_api.latest import io

from ..latentsync_core.options import (
    DEFAULT_OVERLAP,
    EXTENSIONS,
    JOINS,
    LENGTHS,
    MAX_OFFSET_MS,
    MAX_WINDOW_FRAMES,
    POSITIONS,
    SILENCES,
    WINDOW_FRAMES,
)
from .types import CATEGORY, ClipTokens, FacesType, FeaturesType, TokensType, TrackedFaces, VoiceFeatures, WhisperType


class VideoVoice(io.ComfyNode):
    """VIDEO -> AUDIO that keeps its place beside the pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncVideoVoice",
            display_name="LatentSync Video Voice",
            category=CATEGORY,
            description="The sound of a video as it is heard beside its pictures: sound that starts later follows real "
            "silence, sound before the first picture is cut. An AUDIO has no clock, and Get Video Components starts "
            "sound and pictures both at once.",
            inputs=[
                io.Video.Input("video", tooltip="The video whose sound is wanted; a trimmed one gives the part shown."),
                io.String.Input(
                    "track",
                    default="",
                    optional=True,
                    tooltip="Which of several audio tracks: a number from 1, or a language such as eng. Empty: the "
                    "default one.",
                ),
            ],
            outputs=[io.Audio.Output(display_name="audio", tooltip="All channels at their own rate.")],
        )

    @classmethod
    def execute(cls, video, track: str = "") -> io.NodeOutput:
        from .host.video_source import video_sound

        return io.NodeOutput(video_sound(video, track))


class AudioFeatures(io.ComfyNode):
    """AUDIO -> Whisper features at 50 Hz."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncAudioFeatures",
            display_name="LatentSync Audio Features",
            category=CATEGORY,
            description="Listens to the voice with Whisper: what every layer of its encoder hears, 50 times a second.",
            inputs=[
                io.Audio.Input("audio", tooltip="The voice that the face is to speak; any rate, any channels."),
                WhisperType.Input("whisper", tooltip="From LatentSync Load Whisper."),
                io.Combo.Input(
                    "joins",
                    options=list(JOINS),
                    tooltip="Whisper hears 30 seconds at a time. overlap fades these blocks into one another; reference "
                    "sets them side by side as published, which shows as a glitch every 30 seconds.",
                ),
                io.Boolean.Input(
                    "cache",
                    default=True,
                    tooltip="Keep the features on disk, so that the same voice is never heard twice, not even after a "
                    "restart. The command line shares them.",
                ),
                io.Combo.Input(
                    "silence",
                    options=list(SILENCES),
                    default="off",
                    optional=True,
                    tooltip="While nobody speaks for 0.3 s or longer. off: generate as ever, as published. rest: let the "
                    "model hear true silence there, without breath, noise or music. keep: fade to the filmed mouth.",
                ),
            ],
            outputs=[FeaturesType.Output(display_name="features", tooltip="What Whisper hears, for Audio Chunks.")],
        )

    @classmethod
    def execute(cls, audio: dict, whisper, joins: str, cache: bool, silence: str = "off") -> io.NodeOutput:
        from ..latentsync_core.audio import (
            cached_features,
            detect_voice,
            feature_key,
            feature_pieces,
            join_pieces,
            put_to_rest,
            silent_pieces,
        )
        from ..latentsync_core.media import check_voice, resample_waveform
        from .host.folders import disk_cache
        from .host.memory import loaded
        from .host.progress import node_callbacks

        rate = int(audio["sample_rate"])
        waveform = resample_waveform(audio["waveform"][0].float().cpu().numpy(), rate)  # (samples,) mono 16 kHz
        check_voice(waveform, "the audio input")
        encoder = loaded(whisper)

        def compute():
            callbacks = node_callbacks()
            return feature_pieces(
                waveform,
                encoder,
                joins,
                on_progress=callbacks.progress("voice"),
                check_cancelled=callbacks.check_cancelled,
            )

        if cache:
            features = cached_features(disk_cache(), feature_key(waveform, encoder, joins), compute)
        else:
            features = join_pieces(compute())
        activity = detect_voice(waveform)
        if silence == "rest":
            features = put_to_rest(features, lambda: silent_pieces(waveform, encoder, joins), activity.step_gate())
        seconds = Fraction(audio["waveform"].shape[-1], rate)
        return io.NodeOutput(VoiceFeatures(features, audio, seconds, activity, silence, encoder.generator))


class AudioChunks(io.ComfyNode):
    """Features + faces -> what every output frame shows and hears."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncAudioChunks",
            display_name="LatentSync Audio Chunks",
            category=CATEGORY,
            description="Lays out the result: how long it is, which source frame each output frame shows, which stretch "
            "of the voice it hears, and which frames are generated together.",
            inputs=[
                FeaturesType.Input("features", tooltip="From LatentSync Audio Features."),
                FacesType.Input("faces", tooltip="From LatentSync Face Track; brings the video's frames and rate."),
                io.Combo.Input(
                    "length",
                    options=list(LENGTHS),
                    tooltip="What the result lasts as long as: the voice, the video, or the shorter of the two.",
                ),
                io.Combo.Input(
                    "extend",
                    options=list(EXTENSIONS),
                    tooltip="Where the picture comes from when the voice is longer: play it back and forth, loop it, "
                    "hold the last frame, or end with the video.",
                ),
                io.Int.Input(
                    "window",
                    default=WINDOW_FRAMES,
                    min=1,
                    max=MAX_WINDOW_FRAMES,
                    tooltip="Frames generated together, 16 as trained. Fewer need less memory and flicker more; "
                    "windows never cross a cut or a stretch without a face.",
                ),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second of the result. 0 keeps every source frame and its rate, 25 resamples "
                    "the picture to the rate the model was trained at.",
                ),
                io.Int.Input(
                    "offset",
                    default=0,
                    min=-MAX_OFFSET_MS,
                    max=MAX_OFFSET_MS,
                    optional=True,
                    tooltip="Milliseconds the mouth moves later than the sound; below 0, earlier. The sound stays where "
                    "it is.",
                ),
                io.Int.Input(
                    "overlap",
                    default=DEFAULT_OVERLAP,
                    min=0,
                    max=MAX_WINDOW_FRAMES // 2,
                    optional=True,
                    tooltip="Frames that neighbouring windows share; their predictions are fused, so that the mouth "
                    "does not jump where a window ends. 4 of 16 take a third longer, 8 twice as long; 0 is the reference.",
                ),
                io.Audio.Input(
                    "sound",
                    optional=True,
                    tooltip="What the result sounds like, if not the voice alone: for a second speaker, both voices from "
                    "Audio Merge. The mouth still follows the voice.",
                ),
            ],
            outputs=[
                TokensType.Output(display_name="tokens", tooltip="The result laid out: timeline, windows, voice."),
                io.Int.Output(display_name="frames", tooltip="Frames of the result."),
                io.Float.Output(display_name="fps", tooltip="Frames per second of the result."),
                io.Float.Output(
                    display_name="gate",
                    is_output_list=True,
                    tooltip="For each frame, 1 where a voice is heard and 0 in silence, with soft flanks.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        features: VoiceFeatures,
        faces: TrackedFaces,
        length: str,
        extend: str,
        window: int,
        fps: float,
        offset: int = 0,
        overlap: int = DEFAULT_OVERLAP,
        sound: dict | None = None,
    ) -> io.NodeOutput:
        from ..latentsync_core.audio import AudioTokens, delay_features, indices_at, musetalk_indices_at
        from ..latentsync_core.diffusion import plan_windows
        from ..latentsync_core.pipeline.timeline import plan_timeline
        from .host.drafting import strip_of
        from .host.shown import shown_picture

        timeline = plan_timeline(
            faces.times,
            faces.fps,
            features.seconds,
            length=length,
            extend=extend,
            rate=Fraction(str(round(fps, 3))) if fps else None,
            variable=faces.variable,
        )
        present = [bool(faces.track.present[source]) for source in timeline.source]
        windows = plan_windows(present, timeline.breaks(faces.track.cuts), window, overlap)
        heard = delay_features(features.features, offset)
        steps = musetalk_indices_at if features.generator == "musetalk" else indices_at
        tokens = AudioTokens(heard, steps(len(heard), timeline.times))
        gate = features.activity.gate([time - Fraction(offset, 1000) for time in timeline.times])
        clip = ClipTokens(
            timeline=timeline,
            windows=windows,
            tokens=tokens,
            audio=sound or features.audio,
            shown=gate if features.silence == "keep" else None,
            voice=features,
            offset=offset,
            generator=features.generator,
        )
        shown = shown_picture(strip_of(clip))
        return io.NodeOutput(clip, len(timeline), float(timeline.fps), gate.tolist(), ui=shown)


class PositionEncoding(io.ComfyNode):
    """Switch audio position encoding on, off, or to what the checkpoint was trained with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncPositionEncoding",
            display_name="LatentSync Position Encoding",
            category=CATEGORY,
            description="Adds to each frame's audio tokens the place they stand at, or not. MuseTalk adds positions when "
            "it runs but never did in training; here the checkpoint says how it was trained, and auto does the same.",
            inputs=[
                TokensType.Input("tokens", tooltip="From LatentSync Audio Chunks."),
                io.Model.Input("model", tooltip="The LatentSync or MuseTalk model: auto asks it how it was trained."),
                io.Combo.Input(
                    "mode",
                    options=list(POSITIONS),
                    tooltip="auto: as the checkpoint was trained (published ones: off). on, off: for experiments; the "
                    "wrong one costs lip-sync.",
                ),
            ],
            outputs=[TokensType.Output(display_name="tokens", tooltip="The same, with positions or without.")],
        )

    @classmethod
    def execute(cls, tokens: ClipTokens, model, mode: str) -> io.NodeOutput:
        from .host.native_network import require_ours

        return io.NodeOutput(tokens.with_positions(require_ours(model).conditioning(mode).positions))
