"""The tiny training run and its clips for the command that trains and evaluates."""

from tiny_training import cache, clips_folder, make_config

__all__ = ["cache", "clips_folder", "make_config"]
