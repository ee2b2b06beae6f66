"""The program in a process of its own, which starts at once because a server has imported torch before it forks.

A new interpreter spends seconds on imports that no test of signals, limits or sharing is about; what is forked here is
a process like any other, to be killed, stopped and limited. How the program starts by itself is tests/test_program's.
"""

import multiprocessing
import os
import resource
import signal
import sys

import pytest
from small_media import GENEROUS, ROOT

import latentsync_core.generators.segments
import latentsync_core.models.loading
import latentsync_core.pipeline.lipsync
from latentsync_core.__main__ import main

servers = multiprocessing.get_context("forkserver")
servers.set_forkserver_preload([__name__])  # and with this module all that it imports


def start(process) -> None:
    """Start a process, and with the first one the server."""
    with pytest.MonkeyPatch.context() as patch:
        # Python up to 3.13 does not tell the server where modules are found, and what it cannot import it passes over.
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        process.start()


def begin(arguments: list[str], said, file_bytes: int | None, segment_frames: int | None) -> None:
    """In the new process: what a shell does for a program, then the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a server ignores Ctrl-C, a program does not
    os.chdir(ROOT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(said.fileno(), 2)
    said.close()
    # The streams of the server believe in the files that it was started with.
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2))
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if segment_frames is not None:
        latentsync_core.generators.segments.SEGMENT_FRAMES = segment_frames
    sys.exit(main(arguments))


class Program:
    """``python -m latentsync_core`` with `arguments`; used as a context, it is killed at the end if it still runs.

    file_bytes: no file may grow beyond it. segment_frames: output frames in a segment, for short clips. stderr: what it
    says, to be read line by line as it comes.
    """

    def __init__(self, *arguments, file_bytes: int | None = None, segment_frames: int | None = None):
        said, speaks = servers.Pipe(duplex=False)
        given = ([str(part) for part in arguments], speaks, file_bytes, segment_frames)
        self._process = servers.Process(target=begin, args=given)
        start(self._process)
        speaks.close()
        self.stderr = open(os.dup(said.fileno()), encoding="utf-8", errors="surrogateescape")
        said.close()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float = GENEROUS) -> int:
        """The exit code. Fails where the program hangs."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"still running after {seconds} s"
        return self._process.exitcode

    def ended(self, seconds: float = GENEROUS) -> tuple[int, str]:
        """The exit code and the rest of what it said."""
        said = self.stderr.read()
        return self.wait(seconds), said

    def send_signal(self, number: int) -> None:
        """As kill does."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_) -> None:
        if self.poll() is None:
            self.kill()
        self.stderr.close()
        self._process.join()
