"""``ablate`` on one model: its table, its curves and its sample grid."""

import json

import numpy as np
import pytest
from PIL import Image

from latentsync_core.__main__ import main

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the drawn portrait comes with scikit-image")
pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib")


def test_a_model_is_shown_beside_the_best_and_worst_possible_scores(tmp_path, capsys):
    options = ("--exams", 2, "--seconds", 0.8, "--steps", 2, "--guidance", 1.5, "--checkpoint", "embedded")
    assert main(["evaluate", "--out", str(tmp_path), *map(str, options)]) == 0
    text = (tmp_path / "evidence.md").read_text()
    assert capsys.readouterr().out == text
    every = json.loads((tmp_path / "evidence.json").read_text())
    truth, source, guided = every.values()
    assert list(every)[2] == "guidance 1.5" and len(guided) == 2
    assert truth[0]["correlation"] > 0.9 and truth[0]["psnr"] is None  # infinite
    assert 10 < source[0]["psnr"] < guided[0]["psnr"]
    with Image.open(tmp_path / "strip.png") as grid:
        rows = np.asarray(grid).reshape(3, 128, 8, 128, 3)
    assert all(np.ptp(row[:, column]) > 100 for row in rows for column in range(8))
    eyes, mouths = rows[:, 20:40], rows[:, 80:110]
    assert np.array_equal(eyes[0], eyes[2]) and not np.array_equal(mouths[0], mouths[1])
    assert (tmp_path / "openings.png").stat().st_size > 10_000


@pytest.mark.parametrize("other", [("--presets",), ("--train", "run.toml")])
def test_another_generator_has_neither_presets_nor_a_say_in_a_training_config(tmp_path, capsys, other):
    assert main(["evaluate", "--out", str(tmp_path), "--generator", "musetalk", *other]) == 2
    assert f"--generator musetalk was given with {other[0]}" in capsys.readouterr().err
