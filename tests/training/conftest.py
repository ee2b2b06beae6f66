"""The tiny training run and its clips for all tests of this folder."""

from tiny_training import cache, clips_folder, make_config

__all__ = ["cache", "clips_folder", "make_config"]
