"""What tracking a long clip leaves behind in memory is the track, and no more."""

import subprocess
import sys

import numpy as np
import pytest

from latentsync_core.faces.tracking.mesh_storage import BLOCK_MESHES, MeshMemory

pytestmark = pytest.mark.long

# The meshes come as the mesh network gives them: one small array per frame, among others that come and go.
TRACK_MANY = """
import numpy as np
from latentsync_core.faces import FaceNets, TrackingSettings
from latentsync_core.faces.detect import Detections, no_faces
from latentsync_core.faces.tracking.main_face import MainFaceSearch
from latentsync_core.faces.tracking.track_faces import main_track
from latentsync_core.faces.tracking.tracker import Tracker

class Fitter:
    def fit(self, frame, roi):
        others = [random.standard_normal(random.integers(10, 3000)) for _ in range(6)]
        return random.standard_normal((468, 3)).astype(np.float32), 1.0

class Detector:
    def passes(self, frame, tiles=True):
        box = np.array([[-3, -3, 3, 3]], np.float32)
        yield Detections(box, np.zeros((1, 6, 2), np.float32), np.ones(1, np.float32), 1.0)
    def detect(self, frame, tiles=True):
        return no_faces(0.0)
    def detect_near(self, frame, box):
        return no_faces(0.0)

class NoChanges:
    returned = is_cut = may_be_flash = is_suspicious = may_be_jump_cut = False
    def compare(self, frame): return self

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024

random = np.random.default_rng(0)
frame = np.zeros((64, 64, 3), np.uint8)
search = MainFaceSearch(FaceNets("cpu"), TrackingSettings())
search.fitter, search.detector = Fitter(), Detector()
tracker = Tracker(search)
tracker.changes = NoChanges()
before, small = resident(), []
for index in range(3000):
    tracker.add(frame)
    small.append(np.zeros(40))
found = main_track(tracker)
del tracker, search
assert found.counts()["detected"] == 3000, found.counts()
print((resident() - before) / sum(array.nbytes for array in found.to_arrays().values()))
"""


def test_after_tracking_little_more_than_the_track_remains():
    if not sys.platform.startswith("linux"):
        pytest.skip("resident memory is read from /proc")
    ended = subprocess.run([sys.executable, "-c", TRACK_MANY], capture_output=True, text=True, check=True)
    assert float(ended.stdout) < 1.4  # 1.8 with an array per frame


def test_meshes_are_kept_apart_across_blocks():
    memory, mesh = MeshMemory(), np.zeros((468, 3), np.float32)
    kept = []
    for index in range(BLOCK_MESHES + 2):
        mesh[:] = index
        kept.append(memory.keep(mesh))
    assert [float(each[0, 0]) for each in kept] == list(range(BLOCK_MESHES + 2))
    assert kept[0].base is kept[1].base and kept[0].base is not kept[-1].base
