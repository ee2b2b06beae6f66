"""Writing and comparing small videos."""

import numpy as np

from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter, stream_audio

FAST = EncodeSettings(preset="ultrafast")


def copy_video(source, target, settings=FAST, frames=None, **how):
    """Write a video's own pictures again."""
    with VideoReader(source) as reader, VideoWriter(target, reader.info, settings, **how) as writer:
        for frame in reader.frames(0, frames):
            writer.write(frame.picture, *([frame.time] if how.get("times_given") else []))
    return target


def sound_of(path):
    """float (samples, channels)"""
    pieces = []
    for block in stream_audio(path):
        samples = block.to_ndarray()
        channels = len(block.layout.channels)
        pieces.append(samples.T if block.format.is_planar else samples.reshape(-1, channels))
    return np.concatenate(pieces)


def only_file(folder, *names):
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)
