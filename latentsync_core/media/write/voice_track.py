"""The sound of a result: the voice at its own rate and channels, written alongside the pictures, exactly as long."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np

from ...errors import LatentSyncError
from ..read.audio import stream_audio
from ..sound.blocks import cut_block, float_block, silent_blocks
from ..sound.stereo import stereo_blocks
from .encoding import EncodeSettings

log = logging.getLogger(__name__)

CONTAINER_CODECS = {
    ".mp4": ("aac", "alac", "flac"),
    ".mov": ("aac", "alac", "pcm"),
    ".mkv": ("aac", "alac", "flac", "pcm"),
}
MANY_CHANNELS = 8  # the most that AAC, ALAC and FLAC hold
AAC_BITS_PER_CHANNEL = 96_000  # bits per second: 192k for stereo
PCM_CODECS = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}


@dataclass(frozen=True)
class SoundEncoding:
    """encoder, sample_format: FFmpeg's. stereo: whether the channels are to be mixed to two first."""

    encoder: str
    sample_format: str
    stereo: bool = False


class VoiceTrack:
    """The audio track of an open output container, fed block by block.

    voice: a path, or blocks (av.AudioFrame) of one rate, layout and format. The codec is chosen by choose_codec.
    """

    def __init__(self, container, voice: str | os.PathLike | Iterable[av.AudioFrame], settings, extension: str):
        is_path = isinstance(voice, (str, os.PathLike))
        self._blocks: Iterator[av.AudioFrame] = stream_audio(voice) if is_path else iter(voice)
        self._like = next(self._blocks, None)
        if self._like is None:
            raise LatentSyncError("the voice has no samples; a voice recording is needed")
        self._blocks = itertools.chain([self._like], self._blocks)
        encoding = choose_codec(self._like, settings, extension, str(voice) if is_path else "the voice")
        if encoding.stereo:
            self._blocks = stereo_blocks(self._blocks)
            self._like = stereo_like(self._like)
        self._container = container
        self._rate = self._like.sample_rate
        self._written = 0  # samples
        self._rest: av.AudioFrame | None = None
        self._stream = self._add_stream(encoding.encoder, encoding.sample_format)

    def write_until(self, seconds: Fraction) -> None:
        """Write the voice, and silence once it is over, up to `seconds` from the start, to the sample."""
        end = round(seconds * self._rate)
        while self._written < end:
            block = self._rest or next(self._blocks, None) or next(silent_blocks(self._like, end - self._written))
            wanted = end - self._written
            self._rest = None
            if block.samples > wanted:
                self._rest = cut_block(block, wanted, block.samples)
                block = cut_block(block, 0, wanted)
            self._encode(block)

    def finish(self, seconds: Fraction) -> None:
        """Write up to `seconds` and flush the encoder."""
        self.write_until(seconds)
        self._container.mux(self._stream.encode(None))

    def close(self) -> None:
        """Close the voice's file."""
        self._rest = None
        self._blocks = iter(())

    def _encode(self, block: av.AudioFrame) -> None:
        block.pts = self._written
        block.time_base = Fraction(1, self._rate)
        self._written += block.samples
        self._container.mux(self._stream.encode(block))

    def _add_stream(self, codec: str, sample_format: str) -> av.audio.stream.AudioStream:
        stream = self._container.add_stream(codec, rate=self._rate, layout=self._like.layout.name)
        stream.codec_context.format = sample_format
        stream.codec_context.time_base = Fraction(1, self._rate)
        if codec == "aac":
            stream.codec_context.bit_rate = AAC_BITS_PER_CHANNEL * len(self._like.layout.channels)
        return stream


def choose_codec(like: av.AudioFrame, settings: EncodeSettings, extension: str, name: str) -> SoundEncoding:
    """How blocks like `like` are encoded.

    "auto" is AAC, or, where AAC does not have the rate (such as 192 kHz) or the layout, a lossless codec: ALAC in .mp4
    and .mov, FLAC in .mkv. With lossless video "auto" is lossless from the start, and .mkv takes samples that FLAC's 24
    bits cannot hold as PCM. More than eight channels become stereo where that leaves no codec. A warning
    says so.
    Raises LatentSyncError where the codec that was asked for is not possible.
    """
    possible = CONTAINER_CODECS[extension]
    wanted = settings.audio_codec
    if wanted != "auto":
        if wanted not in possible:
            raise LatentSyncError(
                f"{name}: {wanted} audio cannot be written to {extension}; choose {', '.join(possible)}"
            )
        choices = [wanted]
    else:
        holds_all = like.format.name.rstrip("p") in ("u8", "s16") or extension != ".mkv"
        lossless = "alac" if "flac" not in possible or extension == ".mp4" else "flac" if holds_all else "pcm"
        fallback = [codec for codec in ("flac", "alac", "pcm") if codec in possible and codec != lossless]
        choices = ([] if settings.keeps_every_sample else ["aac"]) + [lossless, *fallback]
    kind = f"{like.layout.name} at {like.sample_rate} Hz"
    if found := first_that_fits(choices, like):
        choice, encoding = found
        if choice != choices[0]:
            log.warning("%s: %s cannot hold %s, its sound is written as %s", name, choices[0], kind, choice)
        return encoding
    if like.layout.nb_channels > MANY_CHANNELS and (found := first_that_fits(choices, stereo_like(like))):
        choice, encoding = found
        refusing = " or ".join(choices)
        log.warning(
            "%s: %s cannot hold %s, its sound is mixed to stereo and written as %s", name, refusing, kind, choice
        )
        return SoundEncoding(encoding.encoder, encoding.sample_format, stereo=True)
    raise LatentSyncError(
        f"{name}: {like.layout.name} sound at {like.sample_rate} Hz cannot be written as {' or '.join(choices)}; "
        "convert the recording to 48000 Hz mono or stereo"
    )


def first_that_fits(choices: list[str], like: av.AudioFrame) -> tuple[str, SoundEncoding] | None:
    """The first of some codecs that holds blocks like `like`, and how; None where none does."""
    for choice in choices:
        codec, sample_format = encoder_for(choice, like.format.name)
        if can_encode(codec, sample_format, like):
            return choice, SoundEncoding(codec, sample_format)
    return None


def stereo_like(like: av.AudioFrame) -> av.AudioFrame:
    """A block as stereo_blocks makes them of blocks like `like`."""
    return float_block(np.zeros((2, 1), np.float32), like.sample_rate, "stereo")


def encoder_for(choice: str, sample_format: str) -> tuple[str, str]:
    """FFmpeg's encoder and its sample format for decoded samples of `sample_format`."""
    packed = sample_format.rstrip("p")
    if choice == "pcm":
        return PCM_CODECS.get(packed, "pcm_f64le"), packed if packed in PCM_CODECS else "dbl"
    fits_16_bits = packed in ("u8", "s16")
    if choice == "flac":
        return "flac", "s16" if fits_16_bits else "s32"
    if choice == "alac":
        return "alac", "s16p" if fits_16_bits else "s32p"
    return "aac", "fltp"


def can_encode(codec: str, sample_format: str, like: av.AudioFrame) -> bool:
    """Whether the encoder opens for the rate, layout and format."""
    context = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = like.sample_rate, like.layout.name, sample_format
    context.time_base = Fraction(1, like.sample_rate)
    try:
        context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True
