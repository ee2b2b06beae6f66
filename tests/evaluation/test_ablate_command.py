"""``ablate --train`` from a config to tables, plots and a verdict, on runs of one step each."""

import json

import pytest

from latentsync_core.__main__ import main

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the drawn portrait comes with scikit-image")
pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib")
SMALL = ("--exams", 2, "--seconds", 0.8, "--steps", 1, "--train-steps", 1, "--seeds", 1, "--vary", "noise")


def test_every_cell_is_trained_evaluated_and_compared_and_nothing_is_done_twice(make_config, tmp_path, capsys):
    config, out = tmp_path / "run.json", tmp_path / "evidence"
    config.write_text(json.dumps(make_config().to_dict()))
    command = ["ablate", "--train", config, "--out", out, "--runs", tmp_path / "runs", *SMALL]
    assert main([str(part) for part in command]) == 0
    text = (out / "ablations.md").read_text()
    assert capsys.readouterr().out == text
    names = ["noise shared", "noise mixed half and half"]
    assert (
        "| from | to | correlation | beyond seed noise |" in text and text.count(f"| {names[0]}, guidance 1.5 |") == 2
    )
    assert (out / "noise.png").stat().st_size > 10_000
    results = json.loads((out / "ablations.json").read_text())
    assert [(each["cell"], len(each["marks"])) for each in results] == [(name, 2) for name in names]
    assert all(10 < scores["psnr"] < 60 for each in results for scores in each["marks"])
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert main([str(part) for part in command]) == 0
    assert (out / "ablations.md").read_text() == text
    assert written == {path: path.stat().st_mtime_ns for path in written}
