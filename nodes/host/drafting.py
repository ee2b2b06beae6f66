"""The draft on a clip that other nodes have tracked and laid out."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ...latentsync_core.audio import delay_features, extract_features, join_pieces, put_to_rest, silent_pieces
from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.faces import FadeLimits, Seam, mouth_masks
from ...latentsync_core.generators.clip import Clip
from ...latentsync_core.generators.draft.generator import Draft, predicted_mouths
from ...latentsync_core.generators.draft.moved_faces import ALIGNED, moved_faces
from ...latentsync_core.generators.draft.plan import asked_shapes
from ...latentsync_core.generators.generator import generated_faces
from ...latentsync_core.generators.segments import plan_segments
from ...latentsync_core.media import resample_waveform
from ...latentsync_core.models.embedded import embedded_mouth_predictor
from ...latentsync_core.run_log import noting_warnings
from ...latentsync_core.settings import Settings
from ...latentsync_core.visualize.voice_strip import voice_strip
from ..types import ClipTokens, TrackedFaces, VoiceFeatures
from .progress import node_callbacks
from .video import Blend, mouth_strength

STRIP_SECONDS = 60  # of a voice that is looked at


def draft_blend(faces: TrackedFaces, tokens: ClipTokens, fade: FadeLimits, limit: np.ndarray | None) -> Blend:
    """What of each frame may move, and how far. limit: (1 or frames, H, W) in 0..1."""
    with noting_warnings() as notes:
        masks = mouth_masks(faces.track, ALIGNED, Seam(), limit)
        strength = mouth_strength(faces, tokens, "mouth", fade)
    return Blend(moved_faces(faces.track, masks), strength, tuple(notes))


def drafted_faces(faces: TrackedFaces, tokens: ClipTokens, blend: Blend, reader) -> Iterator[tuple[int, Tensor]]:
    """(output frame, drawn face) of the clip. reader: of its frames, open for as long as faces are taken."""
    if tokens.voice is None:
        raise LatentSyncError("These tokens hold no voice; take them from LatentSync Audio Chunks.")
    timeline = tokens.timeline
    clip = Clip(
        video=Path("the clip"),
        track=faces.track,
        crops=blend.crops,
        source=timeline.source,
        times=timeline.times,
        strength=blend.strength,
        segments=plan_segments(len(timeline), tokens.windows),
        features=own_features(tokens.voice, tokens.offset),
        settings=Settings(),
    )
    return generated_faces(draft().begin(clip, reader), clip.segments, node_callbacks())


@lru_cache(maxsize=1)
def draft() -> Draft:
    """The draft, whose small networks are read from the pack when the first clip comes."""
    return Draft()


def strip_of(tokens: ClipTokens) -> Image.Image:
    """The first minute of a clip's voice: how loud it is, where it is heard, and the opening that it asks for."""
    timeline, voice = tokens.timeline, tokens.voice
    seconds = min(float(timeline.seconds), STRIP_SECONDS)
    times = [time for time in timeline.times if time < seconds]
    heard = {**voice.audio, "waveform": voice.audio["waveform"][..., : round(seconds * voice.audio["sample_rate"])]}
    features = own_features(replace(voice, audio=heard, silence="off"), tokens.offset)
    asked = asked_shapes(predicted_mouths(features, embedded_mouth_predictor()), [float(time) for time in times])
    gate = voice.activity.gate([time - Fraction(tokens.offset) / 1000 for time in times])
    return voice_strip(heard["waveform"][0].mean(0).float().cpu().numpy(), gate, asked[:, 0], seconds)


def own_features(voice: VoiceFeatures, offset: float) -> Tensor:
    """The features that the draft's own encoder gives of a voice, which another has encoded for the sampler."""
    rate = int(voice.audio["sample_rate"])
    waveform = resample_waveform(voice.audio["waveform"][0].float().cpu().numpy(), rate)
    encoder = draft().audio_encoder
    features = extract_features(waveform, encoder, check_cancelled=node_callbacks().check_cancelled)
    if voice.silence == "rest":
        silence = partial(silent_pieces, waveform, encoder, "overlap")
        features = put_to_rest(features, silence, voice.activity.step_gate(), join_pieces)
    return delay_features(features, offset)
