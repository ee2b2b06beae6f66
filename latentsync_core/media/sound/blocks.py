"""Sound blocks (av.AudioFrame) as arrays and back, for any number of channels.

FFmpeg keeps a planar block's channels behind a list of pointers with eight places. PyAV counts a block's planes by
reading that list up to an empty place: from eight channels on there is none, so it reads on into other memory, and
`planes`, `to_ndarray` and `from_ndarray` end the process. A block of that many channels is therefore packed here, its
samples side by side in one plane, before anything looks at them; the conversion changes no sample.
"""

from collections.abc import Iterator

import av
import numpy as np

from ...errors import LatentSyncError

BLOCK_SAMPLES = 4096  # per block made from a waveform or from silence
USUAL_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "4.0",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}  # where a file names no channels
MOST_PLANES = 7  # that PyAV can count
MOST_CHANNELS = 64  # that swresample can convert
NUMPY_FORMATS = {"u8", "s16", "s32", "flt", "dbl"}  # packed sample formats that PyAV hands to numpy
UNNAMED = " channels"  # ends the name of a layout that says only how many there are


class Packer:
    """Makes the decoded blocks of one track safe to convert to arrays; see the module.

    Formats without an array type (64-bit integers) become double precision, which holds 53 bits of them.
    """

    def __init__(self):
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple | None = None

    def __call__(self, block: av.AudioFrame) -> av.AudioFrame:
        """The same samples at the same time, in a block with planes that can be counted."""
        packed = block.format.name.rstrip("p")
        known = packed in NUMPY_FORMATS
        if known and (not block.format.is_planar or block.layout.nb_channels <= MOST_PLANES):
            return block
        kind = (block.format.name, block.layout.name, block.sample_rate)
        if kind != self._kind:
            target = packed if known else "dbl"
            self._kind, self._resampler = kind, av.AudioResampler(format=target, layout=None, rate=block.sample_rate)
        pts, time_base = block.pts, block.time_base
        block.pts = None  # with time stamps the resampler would pad or cut
        (result,) = self._resampler.resample(block)  # at an unchanged rate nothing is held back
        result.pts, result.time_base = pts, time_base
        return result


def float_format(channels: int) -> str:
    """The float sample format in which blocks of so many channels can be converted to arrays: planar where PyAV can."""
    return "fltp" if channels <= MOST_PLANES else "flt"


def layout_name(channels: int) -> str:
    """The usual layout for a number of channels, else one without names."""
    return USUAL_LAYOUTS.get(channels, f"{channels}{UNNAMED}")


def samples_of(block: av.AudioFrame) -> np.ndarray:
    """The samples of a block that Packer has passed: (channels, n), planar or packed."""
    samples = block.to_ndarray()
    return samples if block.format.is_planar else samples.reshape(-1, block.layout.nb_channels).T


def float_block(samples: np.ndarray, rate: int, layout: str) -> av.AudioFrame:
    """A float block of `samples` (channels, n) at `rate` Hz."""
    form = float_format(len(samples))
    planes = samples if form == "fltp" else samples.T.reshape(1, -1)
    block = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes, np.float32), form, layout)
    block.sample_rate = rate
    return block


def waveform_blocks(waveform: np.ndarray, sample_rate: int) -> Iterator[av.AudioFrame]:
    """A waveform in memory, float32 (channels, samples), as blocks for the writer."""
    if not 1 <= len(waveform) <= MOST_CHANNELS:
        raise LatentSyncError(f"the waveform has {len(waveform)} channels; 1 to {MOST_CHANNELS} are possible")
    layout = layout_name(len(waveform))
    for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
        yield float_block(waveform[:, start : start + BLOCK_SAMPLES], sample_rate, layout)


def with_named_layout(block: av.AudioFrame) -> av.AudioFrame:
    """`block`, its channels named in the usual order where the file does not name them (as in a plain wav)."""
    name = USUAL_LAYOUTS.get(block.layout.nb_channels)
    if name is None or not block.layout.name.endswith(UNNAMED):
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
