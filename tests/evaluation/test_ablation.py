"""Ablations vary one thing at a time, and call a difference one only where seeds do not explain it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation.ablation import ABLATIONS, AblationPlan, Result, vary
from latentsync_core.evaluation.scores import Scores
from latentsync_core.evaluation.significance import across_seeds, beyond_seed_noise, comparisons
from latentsync_core.pipeline.settings import Settings
from latentsync_core.training.config import ConditioningConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig

VARIED = {"positions": "position_encoding", "dropout": "drop_probability", "null": "null", "noise": "noise_mix"}
BASE = TrainConfig(Path("run"), DataConfig(Path("clips")))


def result(correlation: float, seed: int, guidance: float = 1.5) -> Result:
    scores = Scores(correlation, 0, 0, 30, 0.9, 1, 1)
    return Result("dropout", "audio dropped p = 0.1", seed, guidance, "auto", (scores, scores))


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_cells_differ_from_one_another_in_what_is_varied_alone(name, tmp_path):
    plans = [vary(BASE, cell, 3, tmp_path) for cell in ABLATIONS[name]]
    assert len({plan.output for plan in plans}) == len(plans)
    varied = VARIED[name]
    settings = [{**vars(plan.conditioning), **vars(plan.loss)} for plan in plans]
    differing = {key for key in settings[0] if len({repr(found[key]) for found in settings}) > 1}
    assert differing == {varied}
    assert all(plan.seed == 3 and plan.optimizer == BASE.optimizer for plan in plans)
    assert all(plan.model == plans[0].model for plan in plans)


def test_a_rate_of_the_null_is_of_those_cells_alone_that_learn_one(tmp_path):
    conditioning = ConditioningConfig("on", "learned", 0.1)
    base = replace(BASE, conditioning=conditioning, optimizer=OptimizerConfig(null_learning_rate=0.05))
    rates = {
        plan.conditioning.null: plan.optimizer.null_learning_rate
        for plan in (vary(base, cell, 0, tmp_path) for cell in ABLATIONS["null"])
    }
    assert rates == {"zeros": None, "learned": 0.05}


def test_equal_runs_of_different_ablations_are_one(tmp_path):
    base = replace(BASE, conditioning=ConditioningConfig("on", "learned", 0.1))
    found = [vary(base, cell, 0, tmp_path) for name in ("positions", "dropout", "null") for cell in ABLATIONS[name]]
    assert len(found) == 7 and len({plan.output for plan in found}) == 5
    assert len({repr(plan) for plan in found}) == 5


def test_the_asymmetry_of_musetalk_is_one_of_the_cells():
    combinations = {
        (cell.conditioning["position_encoding"], used) for cell in ABLATIONS["positions"] for used in cell.positions
    }
    assert combinations == {("on", "on"), ("on", "off"), ("off", "on"), ("off", "off")}


def musetalk_plan(*names: str) -> AblationPlan:
    conditioning, model = ConditioningConfig(drop_probability=0.0), ModelConfig(generator="musetalk")
    base = replace(BASE, conditioning=conditioning, model=model)
    return AblationPlan(base, names, seeds=(0,), clips=(), load=lambda path, config: None, folder=Path("runs"))


def test_musetalk_is_used_without_guidance_and_only_its_positions_are_varied():
    found = [way for cell in ABLATIONS["positions"] for way in musetalk_plan("positions").settings(cell)]
    assert found == [(None, Settings(position=position)) for position in ("on", "off", "on", "off")]
    with pytest.raises(LatentSyncError, match="so that dropout, noise cannot be varied; pass --vary positions"):
        musetalk_plan("positions", "noise", "dropout")


def test_without_guidance_labels_and_comparisons_speak_of_positions_alone():
    cells = ("positions trained off", "positions trained on")
    found = [
        replace(result(0.5 + 0.1 * (cell == cells[1]), seed), cell=cell, guidance=None, position=position)
        for cell in cells
        for position in ("on", "off")
        for seed in (0, 1)
    ]
    assert across_seeds(found)[0][0] == "positions trained off, used on"
    compared = {(c.first, c.second): c for c in comparisons(found)}
    assert len(compared) == 4 and compared[f"{cells[0]}, used on", f"{cells[1]}, used on"].beyond


def test_scores_survive_json_also_where_a_metric_is_undefined():
    scores = Scores(0.5, 0, float("nan"), float("inf"), 0.9, 1, 1)
    again = Scores.from_dict(json.loads(json.dumps(scores.to_dict(), allow_nan=False)))
    assert again.correlation == 0.5 and np.isnan(again.shuffled) and np.isnan(again.psnr)


def test_seeds_become_means_with_standard_deviations():
    found = [result(0.8, 0), result(0.6, 1), result(0.5, 0, guidance=1.0)]
    rows = across_seeds(found)
    assert [label for label, _, _ in rows] == [
        "audio dropped p = 0.1, guidance 1.5",
        "audio dropped p = 0.1, guidance 1",
    ]
    assert rows[0][1].correlation == pytest.approx(0.7) and rows[0][2].correlation == pytest.approx(0.1 * 2**0.5)
    assert np.isnan(rows[1][2].correlation)


def test_only_differences_that_seeds_do_not_explain_count():
    assert beyond_seed_noise([0.80, 0.82], [0.60, 0.62])
    assert not beyond_seed_noise([0.80, 0.60], [0.70, 0.50])
    assert not beyond_seed_noise([0.80, 0.70], [0.69, 0.60])
    assert not beyond_seed_noise([0.8], [0.5])


def test_configurations_are_compared_that_differ_in_one_choice():
    p0, p1 = "audio dropped p = 0", "audio dropped p = 0.1"
    values = {(p0, 1.0): 0.4, (p0, 1.5): 0.3, (p0, 2.0): 0.2, (p1, 1.0): 0.405, (p1, 1.5): 0.6, (p1, 2.0): 0.7}
    found = [
        replace(result(value + seed / 100, seed, guidance), cell=cell)
        for (cell, guidance), value in values.items()
        for seed in (0, 1)
    ]
    compared = {(c.first, c.second): c for c in comparisons(found)}
    assert len(compared) == 7  # three of p, and of guidance 1.5 and 2 against 1 two for each p
    assert not compared[f"{p0}, guidance 1", f"{p1}, guidance 1"].beyond
    better = compared[f"{p0}, guidance 1.5", f"{p1}, guidance 1.5"]
    assert better.beyond and better.difference == pytest.approx(0.3)
