"""Which of a file's audio tracks is the voice: the file's default one, or the one asked for by number or language."""

import os

import av

from ...errors import LatentSyncError
from ..sound.blocks import USUAL_LAYOUTS
from .source import decodable, describe_tracks

AudioStream = av.audio.stream.AudioStream


def audio_stream(
    container: av.container.InputContainer, path: str | os.PathLike, track: int | str | None = None
) -> AudioStream:
    """The audio track `track` of an open file; by default the one the file marks as default, or FFmpeg's best.

    track: a number counted from 1, or a language as the file writes it ("eng"), in any case; a language must leave no
    choice. Raises LatentSyncError, listing the tracks there are, and where there is none or no decoder for it.
    """
    if not container.streams.audio:
        found = describe_tracks(container)
        raise LatentSyncError(f"{path}: there is no audio track in this file ({found}), a voice recording is needed")
    if track is None:
        # A damaged header can leave tracks none of which FFmpeg would choose.
        return decodable(container.streams.best("audio") or container.streams.audio[0], path)
    return decodable(find_track(container.streams.audio, str(track).strip(), path), path)


def find_track(streams: tuple[AudioStream, ...], wanted: str, path: str | os.PathLike) -> AudioStream:
    """The one of `streams` that `wanted` names."""
    if wanted.isdecimal():
        if 1 <= int(wanted) <= len(streams):
            return streams[int(wanted) - 1]
        matching = []
    else:
        matching = [stream for stream in streams if (stream.language or "").lower() == wanted.lower()]
    if len(matching) == 1:
        return matching[0]
    fault = f"{len(matching)} audio tracks are" if matching else "no audio track is"
    listed = "; ".join(describe_track(number, stream) for number, stream in enumerate(streams, 1))
    advice = "choose one by its number" if matching else "choose one of them"
    raise LatentSyncError(f"{path}: {fault} {wanted!r}; {advice}: {listed}")


def describe_track(number: int, stream: AudioStream) -> str:
    """A track for a list, as in "2 (deu, stereo, 48000 Hz, aac)"."""
    context = stream.codec_context
    if context is None:
        return f"{number} (unknown codec)"
    language, count = stream.language or "no language", len(context.layout.channels)
    layout = USUAL_LAYOUTS.get(count, context.layout.name) if "channels" in context.layout.name else context.layout.name
    return f"{number} ({language}, {layout}, {context.sample_rate} Hz, {context.name})"
