"""Read and write video and audio as streams (PyAV): upright native pictures, true times, the voice's own samples.

Nothing here holds a whole clip: readers are generators, the writer takes one picture at a time.
"""

from .audio import AudioInfo, check_voice, probe_audio, read_waveform, resample_waveform, stream_audio, waveform_blocks
from .color import to_rgb
from .edit import apply_edit
from .encoding import EncodeSettings
from .frame import Frame
from .image_reader import ImageReader
from .info import VideoInfo, probe_video
from .target import check_target
from .video_reader import VideoReader, is_variable
from .video_writer import VideoWriter

__all__ = [
    "AudioInfo",
    "EncodeSettings",
    "Frame",
    "ImageReader",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "apply_edit",
    "check_target",
    "check_voice",
    "is_variable",
    "probe_audio",
    "probe_video",
    "read_waveform",
    "resample_waveform",
    "stream_audio",
    "to_rgb",
    "waveform_blocks",
]
