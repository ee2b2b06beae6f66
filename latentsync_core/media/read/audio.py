"""Read a voice: its format, its own sample blocks for the writer, and a mono waveform for the model."""

import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from ...errors import LatentSyncError
from ..sound.blocks import (
    MOST_CHANNELS,
    Packer,
    cut_block,
    float_format,
    samples_of,
    silent_blocks,
    with_named_layout,
)
from ..sound.mono import MODEL_RATE, mix_down
from .audio_tracks import audio_stream
from .sound_clock import sound_packets
from .source import open_media, stated_seconds
from .stream_starts import SoundStart, sound_start

log = logging.getLogger(__name__)

SHORTEST_GAP = Fraction(1, 10)  # seconds between time stamps that count as missing sound where every packet was decoded


@dataclass(frozen=True)
class AudioInfo:
    """One audio track. sample_rate: Hz. layout: as FFmpeg names it ("mono", "5.1(side)"). sample_format: likewise, as
    decoded ("s16", "fltp"), from eight channels on the packed kind. samples (per channel) and seconds: by the headers,
    None where they do not say; the silence before the sound counts. track: its number among the file's `tracks` audio
    tracks, from 1. language: as the file writes it, or None. start: where the sound begins, by the file's clock."""

    path: Path
    sample_rate: int
    channels: int
    layout: str
    sample_format: str
    samples: int | None
    seconds: float | None
    codec: str
    track: int
    tracks: int
    language: str | None
    start: SoundStart

    def blocks(self) -> Iterator[av.AudioFrame]:
        """The track's decoded blocks, as stream_audio yields them."""
        return placed_blocks(track_blocks(self.path, self.track), self.start, self.path)

    def waveform(self, sample_rate: int = MODEL_RATE) -> np.ndarray:
        """The track as read_waveform gives it."""
        return mix_down(self.blocks, sample_rate, self.path)


def probe_audio(
    path: str | os.PathLike, track: int | str | None = None, video: str | os.PathLike | None = None
) -> AudioInfo:
    """What an audio track of `path` (an audio or a video file) holds; decodes a block of each track.

    track: a number from 1, or a language; the file's default track unless given. video: as for stream_audio.
    Raises LatentSyncError for a file that cannot be opened, has no such audio track or none that decodes.
    """
    with open_media(path, "a voice recording") as container:
        stream = audio_stream(container, path, track)
        number, count, language = (
            container.streams.audio.index(stream) + 1,
            len(container.streams.audio),
            stream.language,
        )
        codec = stream.codec_context.name
        own = stream.duration * stream.time_base if stream.duration else None
        whole = stated_seconds(container)
    start = sound_start(path, number, video)
    first = next(placed_blocks(track_blocks(path, number), start, path))
    if own is None and whole is not None:  # which counts from the file's zero
        own = whole if start.distrusted else whole - start.sound
    seconds = None if own is None else max(own + start.lead, Fraction(0))
    return AudioInfo(
        path=Path(path),
        sample_rate=first.sample_rate,
        channels=len(first.layout.channels),
        layout=first.layout.name,
        sample_format=first.format.name,
        samples=None if seconds is None else round(seconds * first.sample_rate),
        seconds=None if seconds is None else float(seconds),
        codec=codec,
        track=number,
        tracks=count,
        language=language,
        start=start,
    )


def stream_audio(
    path: str | os.PathLike, track: int | str | None = None, video: str | os.PathLike | None = None
) -> Iterator[av.AudioFrame]:
    """Yield an audio track of `path` as decoded blocks of its own rate, layout and sample format, from 0 seconds on.

    0 is the file's own zero (see stream_starts.py); or the first picture of `video`, where that is the same file. A
    sound that begins later follows real silence; what comes before 0 is cut. track: as for probe_audio. Samples are
    exactly the decoder's; what an encoder put before the recording (priming) and, where the file states its length,
    behind it is left out. Missing intervals become silence of the same length, with a warning.
    Raises LatentSyncError where nothing decodes or where rate, layout or format change midway.
    """
    yield from placed_blocks(track_blocks(path, track), sound_start(path, track, video), path)


def placed_blocks(
    blocks: Iterator[av.AudioFrame], start: SoundStart, path: str | os.PathLike
) -> Iterator[av.AudioFrame]:
    """`blocks` at the time that `start` gives them: after silence, or without what comes too early.

    Raises LatentSyncError where all of the sound comes too early.
    """
    if start.distrusted:
        log.warning("%s: its sound and its pictures start further apart than it is long; both begin at once", path)
    first = next(blocks)
    lead = round(start.lead * first.sample_rate)
    if lead > 0:
        yield from silent_blocks(first, lead)
    early = max(-lead, 0)  # samples still to be cut
    any_left = False
    for block in itertools.chain([first], blocks):
        kept = block.samples - early
        if kept > 0:
            yield cut_block(block, early, block.samples) if early else block
            any_left = True
        early = max(-kept, 0)
    if not any_left:
        raise LatentSyncError(
            f"{path}: its sound starts {float(-start.lead):.3f} s before the first picture and ends before that too; "
            "a voice that goes on beside the pictures is needed"
        )


def track_blocks(path: str | os.PathLike, track: int | str | None = None) -> Iterator[av.AudioFrame]:
    """The blocks of stream_audio, from the first that the track holds, whenever that is played."""
    with open_media(path, "a voice recording") as container:
        stream = audio_stream(container, path, track)
        stated = stated_samples(stream)
        held, position = None, 0  # one block is held back: only the last may reach past the stated length
        for block in decoded_blocks(container, stream, path):
            if held is not None:
                if (block.sample_rate, block.layout.name, block.format.name) != (
                    held.sample_rate,
                    held.layout.name,
                    held.format.name,
                ):
                    raise LatentSyncError(f"{path}: its audio changes rate or channels midway; convert it to one first")
                yield held
                position += held.samples
            held = block
        if held is None:
            raise LatentSyncError(
                f"{path}: its {stream.codec_context.name} audio track holds no sound that can be decoded; "
                "a voice recording is needed"
            )
        excess = position + held.samples - stated if stated else 0
        yield cut_block(held, 0, held.samples - excess) if 0 < excess < held.samples else held


def stated_samples(stream) -> int | None:
    """The track's length in samples where the container counts in samples (mp4, mov), else None."""
    rate = stream.rate  # 0 in a damaged header
    counts_samples = bool(rate) and stream.time_base == Fraction(1, rate) and (stream.start_time or 0) >= 0
    return stream.duration if counts_samples else None


def decoded_blocks(container, stream, path: str | os.PathLike) -> Iterator[av.AudioFrame]:
    """The decoder's blocks, and silence where the time stamps show that sound between two of them is missing.

    At a discontinuity of the time stamps the sound follows the picture: what both sides of it hold twice is cut.
    """
    damage: list[str] = []
    packer = Packer()
    expected = None  # seconds at which the next block should start
    boundary, excess = None, 0  # seconds of the last discontinuity; samples there that the sound before it covers
    for packet, step in sound_packets(container, stream, path, damage.append):
        if step:
            if boundary is None:
                log.warning(
                    "%s: the time stamps of its audio step by %.2f s; the sound follows the picture", path, step
                )
            boundary = packet.pts * packet.time_base
        try:
            blocks = packet.decode()
        except av.error.FFmpegError as error:
            damage.append(error.strerror)
            continue
        for block in blocks:
            channels = block.layout.nb_channels
            if channels > MOST_CHANNELS:
                raise LatentSyncError(
                    f"{path}: its audio has {channels} channels, up to {MOST_CHANNELS} are possible; export the voice "
                    "as mono or stereo"
                )
            block = with_named_layout(packer(block))
            if block.pts is not None:
                start = block.pts * block.time_base
                gap = 0 if expected is None else start - expected
                at_boundary = boundary is not None and abs(start - boundary) * block.sample_rate < 1
                excess = max(0, round(-gap * block.sample_rate)) if at_boundary else excess
                is_missing = damage or gap > SHORTEST_GAP
                if gap > 0 and is_missing:
                    reason = damage[-1] if damage else "it has a gap"
                    log.warning("%s: %.3f s of its audio are missing (%s) and replaced by silence", path, gap, reason)
                if gap > 0 and (at_boundary or is_missing):
                    yield from silent_blocks(block, round(gap * block.sample_rate))
                expected = start + Fraction(block.samples, block.sample_rate)
            damage.clear()
            kept = max(0, block.samples - excess)
            excess -= block.samples - kept
            if kept:
                yield block if kept == block.samples else cut_block(block, block.samples - kept, block.samples)


def read_waveform(
    path: str | os.PathLike,
    sample_rate: int = MODEL_RATE,
    track: int | str | None = None,
    video: str | os.PathLike | None = None,
) -> np.ndarray:
    """The voice in `path` as one mono waveform: float32 (samples,), in [-1, 1], at `sample_rate` Hz.

    It starts as stream_audio does. Channels are mixed by mono_weights: mono as it is, stereo as the mean of both,
    surround with the dialogue channel weighted most, never louder than full scale; where they cancel out, the loudest
    alone is used, with a warning. Raises LatentSyncError as stream_audio does, and for samples that are NaN.
    """
    return mix_down(lambda: stream_audio(path, track, video), sample_rate, path)


def read_channels(info: AudioInfo) -> np.ndarray:
    """All channels of a track at its own rate, starting as stream_audio does: float32 (channels, samples)."""
    resampler, pieces = None, []
    for block in itertools.chain(info.blocks(), [None]):
        if block is not None:
            block.pts = None  # samples, not stamps, make the length
            resampler = resampler or av.AudioResampler(
                format=float_format(block.layout.nb_channels), layout=None, rate=info.sample_rate
            )
        pieces += [samples_of(piece) for piece in resampler.resample(block)]
    return np.concatenate(pieces, axis=1)
