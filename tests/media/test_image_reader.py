"""An image batch reads like a file."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import ImageReader


def test_a_batch_of_images_reads_like_a_file():
    torch = pytest.importorskip("torch")
    levels = np.random.default_rng(0).integers(0, 256, (5, 12, 17, 3)).astype(np.uint8)
    with ImageReader(torch.from_numpy(levels).float() / 255, Fraction(30)) as reader:
        assert (reader.info.width, reader.info.height, reader.info.frames, reader.info.fps) == (17, 12, 5, 30)
        for index, frame in zip((4, 0, 0, 2), reader.frames_at([4, 0, 0, 2]), strict=True):
            assert frame.index == index and frame.time == Fraction(index, 30)
            assert (frame.rgb() == levels[index]).all()
        assert [frame.index for frame in reader.frames(1, 9)] == [1, 2, 3, 4]
    with pytest.raises(LatentSyncError, match=r"\(frames, height, width, 3\) is needed"):
        ImageReader(torch.zeros(3, 12, 17), Fraction(30))


def test_reading_and_writing_media_loads_no_torch():
    code = "import sys, latentsync_core.media; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
