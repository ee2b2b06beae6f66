"""Pictures below a node are files for as long as the host tells of them, and no longer."""

import gc
import importlib
import json
from pathlib import Path

import torch


def test_a_picture_goes_when_the_host_forgets_it(pack):
    shown = importlib.import_module(f"{pack.__name__}.nodes.host.shown")
    folders = importlib.import_module(f"{pack.__name__}.nodes.host.folders")
    told = shown.shown_pictures(torch.rand(2, 40, 60, 3))
    files = [Path(folders.temporary_place()) / entry["filename"] for entry in json.loads(json.dumps(told))["images"]]
    assert all(file.is_file() for file in files) and len(set(files)) == 2
    del told
    gc.collect()
    assert not any(file.exists() for file in files)
