"""Read a voice: what the file holds, its own sample blocks for the writer, and a mono waveform for the model."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from ...errors import LatentSyncError
from .audio_tracks import USUAL_LAYOUTS, audio_stream
from .sound_clock import sound_packets
from .source import open_media
from .stream_starts import SoundStart, sound_start

log = logging.getLogger(__name__)

MODEL_RATE = 16_000  # Hz, what whisper hears
SILENCE_DBFS = -60.0  # dB below full scale: a recording whose loudest sample is quieter holds no voice
SHORTEST_GAP = Fraction(1, 10)  # seconds between time stamps that count as missing sound where nothing failed to decode
MOST_CHANNELS = 8
BLOCK_SAMPLES = 4096  # per block made from a waveform or from silence
MONO_WEIGHTS = {"FC": 1.0, "FL": 0.5**0.5, "FR": 0.5**0.5, "LFE": 0.0, "LFE2": 0.0}
SURROUND_WEIGHT = 0.5  # of every other channel


@dataclass(frozen=True)
class AudioInfo:
    """One audio track. sample_rate: Hz. layout: as FFmpeg names it ("mono", "5.1(side)"). sample_format: likewise, as
    decoded ("s16", "fltp"). samples (per channel) and seconds: by the headers, None where they do not say; the silence
    before the sound counts. track: its number among the file's `tracks` audio tracks, from 1. language: as the file
    writes it, or None. start: where the sound begins, by the file's clock."""

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
        return mix_down(self.blocks(), sample_rate, self.path)


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
        whole = Fraction(container.duration, av.time_base) if container.duration else None
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
    behind it is left out. Stretches that are missing become silence of the same length, with a warning.
    Raises LatentSyncError where nothing decodes or where rate, layout or format change midway.
    """
    yield from placed_blocks(track_blocks(path, track), sound_start(path, track, video), path)


def placed_blocks(
    blocks: Iterator[av.AudioFrame], start: SoundStart, path: str | os.PathLike
) -> Iterator[av.AudioFrame]:
    """`blocks` at the place that `start` gives them: after silence, or without what comes too early.

    Raises LatentSyncError where all of the sound comes too early.
    """
    if start.distrusted:
        log.warning("%s: its sound and its pictures start further apart than it is long; both begin at once", path)
    first = next(blocks)
    lead = round(start.lead * first.sample_rate)
    if lead > 0:
        yield from silent_blocks(first, lead)
    early = max(-lead, 0)  # samples still to be cut
    heard = False
    for block in itertools.chain([first], blocks):
        kept = block.samples - early
        if kept > 0:
            yield cut_block(block, early, block.samples) if early else block
            heard = True
        early = max(-kept, 0)
    if not heard:
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
    """The decoder's blocks, and silence where the time stamps show that something between two of them is missing.

    Where the clock jumps, the sound goes with the picture: what both sides of the join have twice is cut.
    """
    damage: list[str] = []
    expected = None  # seconds at which the next block should start
    join, excess = None, 0  # seconds at which the clock last jumped; samples there that the sound before it covers
    for packet, jump in sound_packets(container, stream, path, damage.append):
        if jump:
            if join is None:
                log.warning(
                    "%s: the clock of its audio jumps by %.2f s; the sound goes on with the picture", path, jump
                )
            join = packet.pts * packet.time_base
        try:
            blocks = packet.decode()
        except av.error.FFmpegError as error:
            damage.append(error.strerror)
            continue
        for block in blocks:
            channels = len(block.layout.channels)
            if channels > MOST_CHANNELS:  # PyAV reads beyond the eighth plane's pointer
                raise LatentSyncError(
                    f"{path}: its audio has {channels} channels, up to {MOST_CHANNELS} are possible; export the voice "
                    "as mono or stereo"
                )
            block = with_named_layout(block)
            if block.pts is not None:
                start = block.pts * block.time_base
                gap = 0 if expected is None else start - expected
                joins = join is not None and abs(start - join) * block.sample_rate < 1
                excess = max(0, round(-gap * block.sample_rate)) if joins else excess
                is_missing = damage or gap > SHORTEST_GAP
                if gap > 0 and is_missing:
                    reason = damage[-1] if damage else "it has a gap"
                    log.warning("%s: %.3f s of its audio are missing (%s), silence stands in", path, gap, reason)
                if gap > 0 and (joins or is_missing):
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
    surround with the dialogue channel first, never louder than full scale. Raises LatentSyncError as stream_audio does,
    and for samples that are NaN.
    """
    return mix_down(stream_audio(path, track, video), sample_rate, path)


def read_channels(info: AudioInfo) -> np.ndarray:
    """All channels of a track at its own rate, starting as stream_audio does: float32 (channels, samples)."""
    resampler = av.AudioResampler(format="fltp", layout=None, rate=info.sample_rate)
    pieces = []
    for block in itertools.chain(info.blocks(), [None]):
        if block is not None:
            block.pts = None  # samples, not stamps, make the length
        pieces += [piece.to_ndarray() for piece in resampler.resample(block)]
    return np.concatenate(pieces, axis=1)


def resample_waveform(waveform: np.ndarray, rate: int, sample_rate: int = MODEL_RATE) -> np.ndarray:
    """The same for a waveform in memory: float32 (channels, samples) at `rate` Hz -> float32 (samples,)."""
    return mix_down(waveform_blocks(waveform, rate), sample_rate, "the audio")


def mix_down(blocks: Iterable[av.AudioFrame], sample_rate: int, path: str | os.PathLike) -> np.ndarray:
    """Blocks of one rate, layout and format as one mono waveform; `path` is what errors call them."""
    resampler = av.AudioResampler(format="fltp", layout=None, rate=sample_rate)
    samples, weights = bytearray(), None  # grows in place: thousands of pieces would leave the heap full of holes
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            weights = mono_weights([channel.name for channel in block.layout.channels]) if weights is None else weights
            block.pts = None  # the resampler counts on: samples, not stamps, make the length
        elif weights is None:
            break
        for piece in resampler.resample(block):
            samples += (weights @ piece.to_ndarray()).tobytes()
    waveform = np.frombuffer(samples, np.float32)
    if not np.isfinite(waveform).all():
        raise LatentSyncError(f"{path}: its audio holds samples that are no numbers; export the recording again")
    return np.clip(waveform, -1, 1, out=waveform)


def mono_weights(channels: list[str]) -> np.ndarray:
    """The share of each named channel in mono, float32, summing to 1.

    ITU-R BS.775 as swresample mixes integer formats: centre 1, front left and right 0.707, others 0.5, low-frequency
    effects 0, then scaled to a sum of 1. (For float formats swresample leaves out that scaling and can clip.)
    Channels without the usual names count equally.
    """
    if len(channels) <= 2 or not {"FL", "FC"} & set(channels):
        weights = np.ones(len(channels))
    else:
        weights = np.array([MONO_WEIGHTS.get(name, SURROUND_WEIGHT) for name in channels])
    return (weights / weights.sum()).astype(np.float32)


def check_voice(waveform: np.ndarray, path: str | os.PathLike) -> None:
    """Raise LatentSyncError where a mono `waveform` is empty or never louder than -60 dBFS."""
    if not waveform.size:
        raise LatentSyncError(f"{path}: its audio track is empty (0 samples), a voice recording is needed")
    peak = float(np.abs(waveform).max())
    if peak < 10 ** (SILENCE_DBFS / 20):
        loudness = f"its loudest sample is {20 * np.log10(peak):.0f} dBFS" if peak else "every sample is zero"
        raise LatentSyncError(
            f"{path}: the recording is silent ({loudness}); a voice above {SILENCE_DBFS:.0f} dBFS is needed"
        )


def waveform_blocks(waveform: np.ndarray, sample_rate: int) -> Iterator[av.AudioFrame]:
    """A waveform in memory, float32 (channels, samples), as blocks for the writer."""
    layout = USUAL_LAYOUTS.get(len(waveform))
    if layout is None:
        raise LatentSyncError(f"the waveform has {len(waveform)} channels; 1 to 8 can be written")
    for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
        piece = np.ascontiguousarray(waveform[:, start : start + BLOCK_SAMPLES], np.float32)
        block = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        block.sample_rate = sample_rate
        yield block


def with_named_layout(block: av.AudioFrame) -> av.AudioFrame:
    """`block`, its channels named in the usual order where the file does not name them (as in a plain wav)."""
    name = USUAL_LAYOUTS.get(len(block.layout.channels))
    if name is None or not block.layout.name.endswith(" channels"):
        return block
    named = like_block(block.to_ndarray(), block, name)
    named.pts, named.time_base = block.pts, block.time_base
    return named


def cut_block(block: av.AudioFrame, start: int, stop: int) -> av.AudioFrame:
    """The samples `start` to `stop` of a block as a block of the same rate, layout and format."""
    samples = block.to_ndarray()
    channels = len(block.layout.channels)
    if block.format.is_planar:  # (channels, samples)
        piece = samples[:, start:stop]
    else:  # (1, samples * channels)
        piece = samples[:, start * channels : stop * channels]
    return like_block(piece, block)


def silent_blocks(like: av.AudioFrame, samples: int) -> Iterator[av.AudioFrame]:
    """`samples` samples of silence in blocks with the rate, layout and format of `like`."""
    channels = len(like.layout.channels)
    dtype = like.to_ndarray().dtype
    level = 128 if dtype == np.uint8 else 0
    while samples > 0:
        count = min(samples, BLOCK_SAMPLES)
        shape = (channels, count) if like.format.is_planar else (1, count * channels)
        yield like_block(np.full(shape, level, dtype), like)
        samples -= count


def like_block(samples: np.ndarray, like: av.AudioFrame, layout: str | None = None) -> av.AudioFrame:
    """A block of `samples`, laid out as AudioFrame.to_ndarray does, with the rate, layout and format of `like`."""
    block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), like.format.name, layout or like.layout.name)
    block.sample_rate = like.sample_rate
    return block
