"""Reads mutated media in a process of its own: a file a line in, an outcome a line out."""

import logging
import sys
import traceback

import av.logging

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader, probe_audio, probe_video, read_waveform

MEMORY_BYTES = 3 * 2**30  # of address space, threads' stacks and libraries included
MOST_FRAMES = 400  # the originals have a dozen


def read_everything(path: str) -> str:
    """Probe and read `path` as a video and as a voice; how that went."""
    outcomes = []
    for action in (read_video, read_voice):
        try:
            outcomes.append(action(path))
        except LatentSyncError as error:
            text = str(error)
            assert path in text and "\n" not in text, f"a poor sentence: {text!r}"
            outcomes.append("refused")
    return "+".join(outcomes)


def read_video(path: str) -> str:
    info = probe_video(path)
    with VideoReader(path) as reader:
        count, last = 0, -1
        for frame in reader.frames(0, MOST_FRAMES):
            assert frame.rgb().shape == (info.height, info.width, 3), frame.rgb().shape
            assert frame.time > last, (frame.time, last)
            count, last = count + 1, frame.time
        assert count, "opened, and not one frame"
        if count < MOST_FRAMES:
            assert len(list(reader.frames_at(range(count)))) == count
    return f"{count} frames"


def read_voice(path: str) -> str:
    probe_audio(path)
    waveform = read_waveform(path)
    wild = waveform.ndim != 1 or (abs(waveform) > 1e4).any()  # an empty one is refused later, by check_voice
    assert not wild, "a waveform of wild values"
    return f"{len(waveform)} samples"


def main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    av.logging.set_level(None)
    for line in sys.stdin:
        try:
            outcome = read_everything(line.rstrip("\n"))
        except BaseException:  # whatever it is, the test wants to see it
            outcome = "FAULT " + traceback.format_exc().replace("\n", " | ")
        sys.stdout.write(outcome + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
