"""How well a model lip-syncs, and which training choices matter: evaluation clips, metrics, ablations."""

from .evaluation_clips import EvaluationClip, evaluate_clip, make_evaluation_clips
from .scores import Scores, average

__all__ = ["EvaluationClip", "Scores", "average", "make_evaluation_clips", "evaluate_clip"]
