"""Read and write video and audio as streams (PyAV): upright native pictures, true times, the voice's own samples.

Nothing here holds a whole clip: readers are generators, the writer takes one picture at a time.
"""

from .picture.color import to_rgb
from .picture.edit import apply_edit
from .picture.frame import Frame
from .read.audio import AudioInfo, probe_audio, read_channels, read_waveform, stream_audio
from .read.image_reader import ImageReader
from .read.info import VideoInfo, probe_video
from .read.single_frame import FrameTimes
from .read.video_part import VideoPart
from .read.video_reader import VideoReader, is_variable
from .sound.blocks import waveform_blocks
from .sound.mono import check_voice, resample_waveform
from .write.encoding import EncodeSettings
from .write.target import check_target
from .write.video_writer import VideoWriter

__all__ = [
    "AudioInfo",
    "EncodeSettings",
    "Frame",
    "FrameTimes",
    "ImageReader",
    "VideoInfo",
    "VideoPart",
    "VideoReader",
    "VideoWriter",
    "apply_edit",
    "check_target",
    "check_voice",
    "is_variable",
    "probe_audio",
    "probe_video",
    "read_channels",
    "read_waveform",
    "resample_waveform",
    "stream_audio",
    "to_rgb",
    "waveform_blocks",
]
