"""Whatever is wrong with a media file's headers: a sentence or a valid result, never a hang, a traceback or a crash.

A few dozen cases run by default; LATENTSYNC_FUZZ=5000 runs so many.
"""

import os
import queue
import random
import struct
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.long

CASES = int(os.environ.get("LATENTSYNC_FUZZ", "60"))
SECONDS = 20  # for one case, on a busy machine
EDGE_BYTES = 2048  # headers and indexes lie in the first and last of these
KINDS = ("mp4", "mkv", "mov", "avi", "webm", "ts", "wav", "mp3", "flac", "png", "gif", "jpg", "webp")
CODECS = {"webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "libmp3lame"), "mkv": ("ffv1", "flac")}
SOUND = {"wav": "pcm_s16le", "mp3": "libmp3lame", "flac": "flac"}
NASTY = (0, 1, 0x7F, 0x80, 0xFF)


class Worker:
    """One process that reads files, replaced when it hangs or dies."""

    def __init__(self):
        command = [sys.executable, str(Path(__file__).with_name("fuzz_worker.py"))]
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=path_to(root)
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.answers.put(line.strip())
        self.answers.put(f"FAULT it died: {self.process.wait()}")

    def ask(self, path) -> str:
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        try:
            return self.answers.get(timeout=SECONDS)
        except queue.Empty:
            return f"FAULT it hung for {SECONDS} s"

    def close(self):
        self.process.kill()
        self.process.wait()


def path_to(root) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def write_clip(path: Path) -> Path:
    """A dozen pictures with a second of sound; or only sound; or a picture."""
    kind = path.suffix[1:]
    colors = np.random.default_rng(0).integers(0, 255, (12, 6, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    if kind in ("png", "jpg", "webp"):
        Image.fromarray(colors[0]).save(path)
    elif kind == "gif":
        pictures = [Image.fromarray(color) for color in colors]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    else:
        write_streams(path, [] if kind in SOUND else colors, *CODECS.get(kind, ("libx264", SOUND.get(kind, "aac"))))
    return path


def write_streams(path: Path, colors, video_codec: str, audio_codec: str) -> None:
    with av.open(str(path), "w") as container:
        if len(colors):
            stream = container.add_stream(video_codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream(audio_codec, rate=48000, layout="mono")
        for index, color in enumerate(colors):
            picture = av.VideoFrame.from_ndarray(color).reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        if len(colors):
            container.mux(stream.encode(None))
        tone = np.sin(np.arange(24000) / 20)[None].astype(np.float32)
        block = av.AudioFrame.from_ndarray((tone * 20000).astype(np.int16), "s16", "mono")
        block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(track.encode(block))
        container.mux(track.encode(None))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with something wrong at its start, its end or anywhere."""
    data = bytearray(data)
    start, stop = rng.choice([(0, EDGE_BYTES), (max(0, len(data) - EDGE_BYTES), len(data)), (0, len(data)), (0, 96)])
    stop = min(stop, len(data))
    for _ in range(rng.choice([1, 1, 2, 4, 16, 64])):
        at = rng.randrange(start, stop)
        what = rng.randrange(6)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            data[at] = rng.choice(NASTY)
        elif what == 2:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), rng.randbytes(4)])
        elif what == 3 and len(data) > 200:
            del data[at : at + rng.randrange(1, 64)]
        elif what == 4:
            data[at:at] = rng.randbytes(rng.randrange(1, 64))
        elif rng.random() < 0.2:
            del data[max(at, 16) :]
        stop = min(stop, len(data))
        start = min(start, stop - 1)
    return bytes(data)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    return {kind: write_clip(folder / f"a.{kind}").read_bytes() for kind in KINDS}


@pytest.fixture
def outcome_of():
    """``outcome_of(path)`` -> how reading it went, in a process that may not take memory without end."""
    pytest.importorskip("resource")
    workers = [Worker()]

    def ask(path) -> str:
        outcome = workers[-1].ask(path)
        if outcome.startswith("FAULT it"):
            workers[-1].close()
            workers.append(Worker())
        return outcome

    yield ask
    workers[-1].close()


def test_mutated_files_are_refused_or_read(originals, outcome_of, tmp_path):
    faults, outcomes = {}, []
    for kind in KINDS:
        (tmp_path / f"whole.{kind}").write_bytes(originals[kind])
        assert outcome_of(tmp_path / f"whole.{kind}") != "refused+refused", kind
    for seed in range(CASES):
        kind = KINDS[seed % len(KINDS)]
        path = tmp_path / f"{seed}.{kind}"
        path.write_bytes(mutate(originals[kind], random.Random(seed)))
        outcomes.append(outcome_of(path))
        if outcomes[-1].startswith("FAULT"):
            faults[path.name] = outcomes[-1][-600:]
        else:
            path.unlink()
    assert not faults, f"{len(faults)} of {CASES}, files left in {tmp_path}: {faults}"
    assert "refused+refused" in outcomes and any("frames" in outcome for outcome in outcomes)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes(4000))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif_of(data: bytes) -> bytes:
    return data[:6] + b"\xff\xff\xff\xff" + data[10:]


def test_absurd_sizes_take_neither_memory_nor_time(originals, outcome_of, tmp_path):
    for name, data in (
        ("wide.png", png_of(65535, 65535)),
        ("wider.png", png_of(2**31 - 1, 2**31 - 1)),
        ("long.png", png_of(2**31 - 1, 1)),
        ("wide.gif", gif_of(originals["gif"])),
    ):
        (tmp_path / name).write_bytes(data)
        assert not outcome_of(tmp_path / name).startswith("FAULT"), (name, outcome_of(tmp_path / name))
