"""`Settings` where callers look for it: beside `lipsync`."""

from ..settings import Settings

__all__ = ["Settings"]
