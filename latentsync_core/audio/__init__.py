"""From a voice to the audio tokens that each video frame cross-attends to."""

from ..options import check_offset, check_silence
from .cache import cached_features, feature_key
from .feature_file import FeatureArray, FeatureFile, Features, Keep, join_pieces, keep_on_disk
from .features import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, extract_features, feature_pieces, silent_pieces
from .positions import encode_positions, position_table, positions_wanted
from .silence import put_to_rest
from .tokens import (
    AudioTokens,
    delay_features,
    frame_tokens,
    gather_tokens,
    indices_at,
    musetalk_indices,
    musetalk_indices_at,
    window_indices,
)
from .voice_activity import VoiceActivity, detect_voice

__all__ = [
    "FEATURE_RATE_HZ",
    "SAMPLE_RATE_HZ",
    "AudioTokens",
    "FeatureArray",
    "FeatureFile",
    "Features",
    "Keep",
    "VoiceActivity",
    "cached_features",
    "check_offset",
    "check_silence",
    "delay_features",
    "detect_voice",
    "encode_positions",
    "extract_features",
    "feature_key",
    "feature_pieces",
    "frame_tokens",
    "gather_tokens",
    "indices_at",
    "join_pieces",
    "keep_on_disk",
    "musetalk_indices",
    "musetalk_indices_at",
    "position_table",
    "positions_wanted",
    "put_to_rest",
    "silent_pieces",
    "window_indices",
]
