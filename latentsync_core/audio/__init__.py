"""From a voice to the tokens each video frame attends to."""

from .cache import FeatureCache, feature_key
from .features import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, extract_features
from .positions import encode_positions, position_table, positions_wanted
from .tokens import AudioTokens, frame_tokens, gather_tokens, indices_at, window_indices
from .whisper_encoder import WhisperEncoder, load_whisper

__all__ = [
    "FEATURE_RATE_HZ",
    "SAMPLE_RATE_HZ",
    "AudioTokens",
    "FeatureCache",
    "WhisperEncoder",
    "encode_positions",
    "extract_features",
    "feature_key",
    "frame_tokens",
    "gather_tokens",
    "indices_at",
    "load_whisper",
    "position_table",
    "positions_wanted",
    "window_indices",
]
