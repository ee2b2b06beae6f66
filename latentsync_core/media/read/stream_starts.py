"""The start times of a file's tracks: how much silence precedes a sound, or how much of it comes too early.

What a player shows together is shown together: times are those of decoded pictures and blocks, after edit lists and
encoders' delays, on the container's own clock. A file's zero is where players begin to count: the earliest start of its
pictures and sounds. Transport and program streams have a clock with any origin, MP3 states its encoder's delay as a
start, live Matroska continues a wall clock: none of that is silence. Elsewhere nothing before the time stamp
0 is played, so that the zero is never below it.
"""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from .audio_tracks import audio_stream
from .source import is_cover_art, open_media, read_packets
from .video_reader import VideoReader

ARBITRARY_ORIGIN = {"mpegts", "mpeg"}  # formats whose time stamps begin anywhere, even below 0
STATED_LENGTH = {"mov", "matroska", "avi"}  # formats that state their length in a header, not by an estimate
LONGEST_LEAD = Fraction(60)  # seconds between two starts that are plausible where no length is stated
COARSEST_TICK = Fraction(1, 1000)  # seconds: of a finer or equal tick, less than one is rounding and no offset
INTERLEAVING = 10  # seconds after a sound's start within which earlier starts are interleaved


@dataclass(frozen=True)
class SoundStart:
    """Where a sound begins, in seconds.

    picture, sound: starts of the file's first picture (None: it has none) and of this sound, after the file's zero.
    lead: silence to be played before the sound; below 0, how much of it is cut. distrusted: whether the stamps lie
    further apart than the file is long, a clock that was set: then the lead is 0.
    """

    picture: Fraction | None
    sound: Fraction
    lead: Fraction
    distrusted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For the report, in seconds as floats."""
        return {
            "picture_start": None if self.picture is None else round(float(self.picture), 6),
            "sound_start": round(float(self.sound), 6),
            "silence_before": round(float(max(self.lead, 0)), 6),
            "sound_cut": round(float(max(-self.lead, 0)), 6),
        }


def sound_start(
    path: str | os.PathLike, track: int | str | None = None, video: str | os.PathLike | None = None
) -> SoundStart:
    """Where the audio track `track` of `path` begins beside the pictures of `video`, whose first is at 0 seconds.

    track: as for audio_stream. video: where it is `path` itself, the sound keeps its place beside its own pictures;
    else the zero of `path` meets the first picture. Reads until every track has begun, mostly a few packets.
    Raises LatentSyncError for a file that cannot be opened or has no such audio track.
    """
    with open_media(path, "a voice recording") as container:
        wanted = audio_stream(container, path, track)
        starts, chosen = track_starts(container, wanted), wanted.index
        pictures = next((stream.index for stream in container.streams.video if not is_cover_art(stream)), None)
        formats = set(container.format.name.split(","))
        stated = container.duration if formats & STATED_LENGTH else None
        tick = min(wanted.time_base or COARSEST_TICK, COARSEST_TICK)
    beside_itself = video is not None and os.path.samefile(path, video)
    if beside_itself:
        starts[pictures] = first_picture_time(path)
    picture, sound = starts.get(pictures), starts.setdefault(chosen, Fraction(0))
    earliest = min(starts.values())
    zero = earliest if formats & ARBITRARY_ORIGIN else max(earliest, Fraction(0))
    lead = sound - (picture if beside_itself else zero)
    distrusted = abs(lead) > (Fraction(stated, av.time_base) if stated else LONGEST_LEAD)
    if distrusted or abs(lead) < tick:
        lead = Fraction(0)
    return SoundStart(None if picture is None else picture - zero, sound - zero, lead, distrusted)


def track_starts(container, wanted) -> dict[int, Fraction]:
    """Seconds at which the video and audio tracks of an open file begin, by index.

    Tracks that begin more than INTERLEAVING seconds after the `wanted` one are left out.
    """
    tracks = [
        stream
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.codec_context is not None and not (stream.type == "video" and is_cover_art(stream))
    ]
    starts: dict[int, Fraction] = {}
    for packet in read_packets(container, tracks, lambda reason: None):
        if packet.stream.index not in starts:
            start = first_decoded_time(packet)
            if start is not None:
                starts[packet.stream.index] = start
        time = packet.pts if packet.dts is None else packet.dts
        passed = wanted.index in starts and time is not None
        if len(starts) == len(tracks) or passed and time * packet.time_base > starts[wanted.index] + INTERLEAVING:
            break
    return starts


def first_decoded_time(packet: av.Packet) -> Fraction | None:
    """Seconds at which what a packet decodes to begins; None where it gives nothing with a time stamp."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:  # the damage is reported where the track is read for use
        return None
    return next((frame.pts * frame.time_base for frame in frames if frame.pts is not None), None)


def first_picture_time(path: str | os.PathLike) -> Fraction:
    """Seconds on the container's clock at which the first picture is shown, as VideoReader gives it."""
    with VideoReader(path) as reader:
        for _ in reader.frames(0, 1):
            pass
        return reader.start
