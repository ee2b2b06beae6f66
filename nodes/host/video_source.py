"""What a VIDEO shows and plays, read where it lies: a file, a part of one, or pictures in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import InputImpl

from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.media import (
    EncodeSettings,
    ImageReader,
    VideoPart,
    VideoReader,
    VideoWriter,
    probe_audio,
    read_channels,
    waveform_blocks,
)
from .folders import temporary_file

LOSSLESS = EncodeSettings(codec="ffv1", audio_codec="pcm")


@dataclass(frozen=True)
class ClipFile:
    """The file of a VIDEO, and what of it is shown: from `begin` on by its own clock, for `seconds`; 0 is all of it."""

    name: str  # kept as it came: a temporary file lives as long as its name
    begin: Fraction = Fraction(0)
    seconds: Fraction = Fraction(0)

    @property
    def whole(self) -> bool:
        """Whether nothing is cut off."""
        return not (self.begin or self.seconds)

    def open(self) -> VideoReader:
        """A reader of the pictures shown."""
        return VideoReader(self.name) if self.whole else VideoPart(self.name, self.begin, self.seconds)

    def sound(self, track: str) -> dict:
        """AUDIO of what is shown: sound later than the first picture follows silence, earlier sound is cut.

        track: number or language of the audio track, "" for the default one. Raises LatentSyncError where there is none.
        """
        info = probe_audio(self.name, track.strip() or None, self.name)
        waveform = read_channels(info)  # (channels, samples), from the file's first picture on
        if not self.whole:
            first = round((first_shown(self.open) - first_shown(partial(VideoReader, self.name))) * info.sample_rate)
            stop = first + round(self.seconds * info.sample_rate) if self.seconds else None
            waveform = waveform[:, first:stop]
        return {"waveform": torch.from_numpy(waveform.copy())[None], "sample_rate": info.sample_rate}


def first_shown(open_reader: Callable[[], VideoReader]) -> Fraction:
    """Seconds on the file's clock at which the first picture is shown."""
    with open_reader() as reader:
        next(reader.frames(), None)
        return reader.start


def clip_file(video) -> ClipFile:
    """The file of a VIDEO's pictures; one that the host is still to crop or resize is written out as it should look."""
    if not getattr(video, "has_pending_frame_edits", lambda: False)():  # newer hosts have it
        return source_file(video)
    path = temporary_file(".mkv")  # takes every codec
    video.save_to(str(path))
    return ClipFile(path)


def source_file(video) -> ClipFile:
    """The file of a VIDEO as it was loaded, trimmed or whole; one held in memory is written out as it is."""
    source = video.get_stream_source()
    if not isinstance(source, str):
        source, content = temporary_file(".video"), source.getvalue()
        Path(source).write_bytes(content)
    return ClipFile(source, *map(exact_seconds, trim_window(video)))


def trim_window(video) -> tuple[float, float]:
    """Start and duration in seconds of a VIDEO that newer hosts have trimmed; zeros for one that is whole."""
    return getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()


def exact_seconds(seconds: float) -> Fraction:
    """What a user wrote as a decimal: 0.4, not the float a little above it, which would miss the frame shown then."""
    return Fraction(seconds).limit_denominator(1_000_000)


def open_clip(video, images, images_fps: Fraction) -> Callable:
    """What opens the frames of a VIDEO, or of IMAGE frames, as a reader."""
    if video is None and images is None:
        raise LatentSyncError("Face Track has neither a video nor images; connect one of the two.")
    if video is not None and images is not None:
        raise LatentSyncError("Face Track has both a video and images; disconnect one of the two.")
    return partial(ImageReader, images, images_fps) if video is None else video_reader(video)


def video_reader(video) -> Callable:
    """What opens the frames of a VIDEO as a reader; one created from images is read from those."""
    if isinstance(video, InputImpl.VideoFromComponents):
        components = video.get_components()
        return partial(ImageReader, components.images, Fraction(components.frame_rate))
    return clip_file(video).open


def video_sound(video, track: str) -> dict:
    """The sound of a VIDEO as AUDIO, beside its pictures. Raises LatentSyncError for one without, as ClipFile.sound."""
    if not isinstance(video, InputImpl.VideoFromComponents):
        return source_file(video).sound(track)
    audio = video.get_components().audio
    if audio is None:
        raise LatentSyncError("The video was created without audio; connect a voice to Create Video, or load a file.")
    if track.strip() not in ("", "1"):
        raise LatentSyncError(
            f"The video was created with one audio track; track {track!r} is not in it, leave it empty."
        )
    return audio


def has_sound(video) -> bool:
    """Whether a VIDEO has an audio track."""
    if isinstance(video, InputImpl.VideoFromComponents):
        return video.get_components().audio is not None
    with VideoReader(source_file(video).name) as reader:
        return reader.info.has_audio


def written_clip(video, folder: Path) -> Path:
    """A VIDEO as a file of its own: where it is a whole file already that one, else written losslessly into `folder`."""
    if not isinstance(video, InputImpl.VideoFromComponents) and (clip := clip_file(video)).whole:
        return Path(clip.name)
    path = folder / f"clip_{len(list(folder.iterdir()))}.mkv"
    sound = waveform_of(video_sound(video, "")) if has_sound(video) else None
    with video_reader(video)() as reader:
        with VideoWriter(path, reader.info, LOSSLESS, times_given=True, audio=sound) as writer:
            for frame in reader.frames():
                writer.write(frame.picture, frame.time)
    return path


def waveform_of(audio: dict):
    """An AUDIO as blocks for a writer."""
    waveform = np.ascontiguousarray(audio["waveform"][0].float().cpu().numpy())  # (channels, samples)
    return waveform_blocks(waveform, int(audio["sample_rate"]))
