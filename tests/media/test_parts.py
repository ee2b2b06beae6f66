"""A video in parts: the last may be as short as one picture, whatever the encoder makes of that."""

import os
import subprocess
import sys

import av
import pytest

JOIN = """
import sys
from fractions import Fraction
from pathlib import Path
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.media.write.parts import PartedVideo, PartWriter, join_parts

source, voice, target, codec, last = sys.argv[1:]
target, frames = Path(target), 4 + int(last)
times = [Fraction(number**2, 1000) + Fraction(number, 25) for number in range(frames)]
settings = EncodeSettings(codec=codec, preset="ultrafast")
with VideoReader(source) as reader:
    timing = dict(fps=Fraction(25), times=times, variable=True, seconds=times[-1] + Fraction(1, 25))
    video = PartedVideo.of(target, reader.info, settings, **timing)
    parts = [(target.with_suffix(f".{start}.nut"), start, stop) for start, stop in ((0, 4), (4, frames))]
    for path, start, stop in parts:
        with PartWriter(path, video, start) as part:
            for frame in reader.frames_at(range(start, stop)):
                part.write(frame.picture)
join_parts(video, parts, voice)
"""


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_short_last_part_is_joined_whatever_memory_holds(codec, last, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4", frames=8, size=(160, 120)), make_wav("voice.wav", speech(1))
    files = []
    for filling in ("0", "85", "165"):  # glibc fills fresh memory with this byte
        target = tmp_path / f"{filling}.mp4"
        command = [sys.executable, "-c", JOIN, str(source), str(voice), str(target), codec, str(last)]
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "MALLOC_PERTURB_": filling})
        files.append(target.read_bytes())
        with av.open(str(target)) as container:
            stamps = [frame.pts for frame in container.decode(video=0)]
        assert len(stamps) == 4 + last and stamps == sorted(set(stamps))
    assert files[0] == files[1] == files[2]
