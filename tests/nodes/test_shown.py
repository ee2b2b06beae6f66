"""Pictures below a node are files for as long as the host tells of them, and no longer."""

import gc
import importlib
import json
from pathlib import Path

import numpy as np
from PIL import Image


def test_a_picture_goes_when_the_host_forgets_it(pack):
    shown = importlib.import_module(f"{pack.__name__}.nodes.host.shown")
    folders = importlib.import_module(f"{pack.__name__}.nodes.host.folders")
    drawn = importlib.import_module(f"{pack.__name__}.latentsync_core.visualize.track_preview")
    box = np.array([10.4, 5.0, 30.6, 25.0])
    frames = [drawn.ShownFrame(index, Image.new("RGB", (60, 40)), {2: box}) for index in (0, 9)]
    told = shown.shown_frames(frames, 10, 60, 40)
    assert told["latentsync_faces"] == [{"frame": index, "faces": {"2": [10, 5, 31, 25]}} for index in (0, 9)]
    files = [Path(folders.temporary_place()) / entry["filename"] for entry in json.loads(json.dumps(told))["images"]]
    assert all(file.is_file() for file in files) and len(set(files)) == 2
    del told
    gc.collect()
    assert not any(file.exists() for file in files)
