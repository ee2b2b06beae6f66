"""The reference's modules are imported without a trace, and where there is a checkout, both compute the same.

LATENTSYNC_REFERENCE names a checkout of bytedance/LatentSync; DeepCache, kornia and OpenCV have to be importable then.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from latentsync_core.__main__ import main
from latentsync_core.benchmark.compare import (
    Sampling,
    SharedWindow,
    compare_cached_step,
    compare_denoising,
    compare_full_step,
)
from latentsync_core.benchmark.compare_faces import compare_faces
from latentsync_core.benchmark.reference_modules import import_from, reference_unet
from latentsync_core.benchmark.seeded import seeded_models
from latentsync_core.benchmark.timing import Duration, PairedTimings, alternate
from latentsync_core.demo import CLIP
from latentsync_core.errors import LatentSyncError

CPU = torch.device("cpu")
IMPORTS_THE_REST = """
from ..utils.util import zero_rank_log

class UNet3DConditionModel:
    log = zero_rank_log
"""


@pytest.fixture
def checkout():
    """The checkout of the reference; tests that need it are skipped, by name, without it."""
    folder = os.environ.get("LATENTSYNC_REFERENCE")
    if not folder:
        pytest.skip("LATENTSYNC_REFERENCE names no checkout of the reference implementation")
    return Path(folder)


@pytest.fixture(scope="module")
def models():
    return seeded_models(32, device="cpu")


def test_both_run_in_turn_and_each_goes_first_in_every_other_pair():
    calls = []
    timings = alternate(lambda: calls.append("ours"), lambda: calls.append("reference"), runs=3, device=CPU)
    assert calls == ["ours", "reference", "reference", "ours", "ours", "reference"]
    assert len(timings.ours) == len(timings.reference) == 3
    assert all(duration.wall >= 0 and duration.cpu >= 0 for duration in (*timings.ours, *timings.reference))


def test_the_ratio_is_the_median_over_pairs_not_of_the_medians():
    ours, reference = ((2, 1), (20, 1), (6, 1)), ((4, 2), (40, 2), (3, 2))  # ms: the second pair met a busy machine
    timings = PairedTimings(*(tuple(Duration(*run) for run in side) for side in (ours, reference)), (None, None))
    assert timings.ratio == (0.5, 0.5)


def test_a_module_is_imported_alone_and_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "latentsync" / "models"
    folder.mkdir(parents=True)
    (folder / "unet.py").write_text(IMPORTS_THE_REST)
    before = dict(sys.modules)
    assert reference_unet(tmp_path).__name__ == "UNet3DConditionModel"
    assert {name: module for name, module in sys.modules.items() if name.startswith("latentsync.")} == {}
    assert dict(sys.modules) == before
    assert sorted(path.name for path in folder.iterdir()) == ["unet.py"]


def test_a_missing_package_and_a_folder_that_is_no_checkout_are_refused(tmp_path):
    folder = tmp_path / "latentsync" / "models"
    folder.mkdir(parents=True)
    (folder / "unet.py").write_text("import a_package_nobody_has")
    with pytest.raises(LatentSyncError, match="a_package_nobody_has.*PYTHONPATH=FOLDER.*--parts"):
        reference_unet(tmp_path)
    with pytest.raises(LatentSyncError, match="bytedance/LatentSync"):
        import_from(tmp_path, "latentsync.utils.affine_transform")


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_steps_and_denoising_equal_the_reference(checkout, models, guidance):
    window = SharedWindow.draw(checkout, models, Sampling(resolution=64, frames=3, steps=4, guidance=guidance))
    for compare in (compare_full_step, compare_cached_step, compare_denoising):
        row = compare(window, 1)
        assert row.difference < 1e-4 * row.size, row.name


def test_frames_restored_by_both_differ_by_a_level_at_most(checkout):
    row = compare_faces(checkout, CLIP, CPU, frames=2, resolution=128, runs=1)
    assert row.difference <= 1 and len(row.timings.ours) == 1


def test_a_network_that_the_reference_cannot_hold_is_refused(checkout, capsys):
    options = ["--reference", str(checkout), "--checkpoint", "embedded", "--parts", "full", "--resolution", "64"]
    assert main(["bench", "compare", *options]) == 2
    assert "levels" in capsys.readouterr().err
