"""A config is read from TOML or JSON, and errors name the invalid key."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from latentsync_core import training
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import UNET
from latentsync_core.models.students import EMBEDDED_STUDENT, recorded_student
from latentsync_core.models.unet import UNetConfig, read_checkpoint
from latentsync_core.training import TrainConfig, from_dict, read_config

MINIMAL = {"output": "run", "data": {"clips": "clips"}}
STUDENT = {"distill": {}, "model": {"checkpoint": "embedded"}, "conditioning": {"drop_probability": 0}}
MUSETALK = {"model": {"generator": "musetalk"}, "conditioning": {"drop_probability": 0}}


def test_defaults_are_the_references(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(MINIMAL))
    config = read_config(path)
    assert config.window == 16 and config.loss.noise_mix == 1.0
    assert config.conditioning.drop_probability == 0.1 and config.conditioning.null == "zeros"
    assert from_dict(TrainConfig, config.to_dict()) == config  # what a checkpoint records can be run again


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
def test_toml_says_the_same(tmp_path):
    (tmp_path / "run.toml").write_text('output = "run"\n[data]\nclips = "clips"\n[optimizer]\nlearning_rate = 1\n')
    config = read_config(tmp_path / "run.toml")
    assert config.optimizer.learning_rate == 1.0 and str(config.data.clips) == "clips"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": {"learning_rte": 1}}, "unknown keys optimizer.learning_rte"),
        ({"optimizer": {"batch": "two"}}, "optimizer.batch is 'two'; int is needed"),
        ({"optimizer": {"batch": 3, "accumulate": 2}}, "must divide by accumulate"),
        ({"optimizer": {"precision": "int8"}}, "choose one of fp32, bf16, fp16"),
        ({"conditioning": {"drops": "all"}}, "choose one of audio"),
        ({"conditioning": {"drop_probability": 2}}, "between 0 and 1"),
        ({"conditioning": {"null": "learned"}, "model": {"train": "lora"}}, "LoRA file cannot carry"),
        ({"optimizer": {"null_learning_rate": 0.1}}, "no null is learned"),
        ({"optimizer": {"null_learning_rate": 0.0}}, "a rate above 0 is needed"),
        ({"model": {"train": "modules"}}, "model.modules names none"),
        ({"loss": {"sync": 0.05}}, "loss.syncnet names no file"),
        ({"loss": {"sync": 0.05, "syncnet": "s.pt"}, "window": 8}, "StableSyncNet takes 16"),
        ({"distill": {"steps": 9}}, "distill.steps is 9; 1 to 8"),
        ({"distill": {"teacher_steps": 6}}, "a multiple of distill.steps, 4, is needed"),
        ({"distill": {"guidance": 0.5}}, "distill.guidance is 0.5"),
        ({"distill": {"method": "adversarial"}}, "choose one of trajectory, consistency"),
        ({"distill": {}}, "model.checkpoint names no teacher"),
        (STUDENT | {"conditioning": {}}, "conditioning.drop_probability is 0.1, but a student learns from its teacher"),
        (STUDENT | {"loss": {"pixel": 1.0}}, "loss.pixel is 1.0, but a student"),
        ({"distill": {}, **MUSETALK}, "MuseTalk takes a single step as it is"),
        ({"model": {"lora": "a.safetensors"}}, "model.lora is given and model.train is 'all'"),
        ({"data": {}}, "data lacks a setting: .*clips"),
        ({"data": "clips"}, "data is 'clips'; a table"),
    ],
)
def test_faults_are_named(tmp_path, change, message):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**MINIMAL, **change}))
    with pytest.raises(LatentSyncError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(LatentSyncError, match="does not exist"):
        read_config(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(LatentSyncError, match="not readable as json"):
        read_config(tmp_path / "bad.json")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
def test_the_shipped_configs_are_complete_and_follow_one_another():
    names = ("unet", "start", "motion")
    stages = [read_config(Path(training.__file__).parent / "micro" / f"{name}.toml") for name in names]
    assert all(
        stage.conditioning.null == "learned" and stage.conditioning.position_encoding == "on" for stage in stages
    )
    for before, stage in zip(stages, stages[1:], strict=False):  # each starts from the checkpoint of the one before
        assert Path(stage.model.checkpoint) == before.output / f"unet-{before.optimizer.steps:07}.safetensors"
        cache = stages[0].data.cache or stages[0].output / "cache"
        assert stage.data == replace(before.data, cache=cache)
    shapes = [UNetConfig.from_dict({**stages[0].model.unet, **stage.model.unet}) for stage in stages]
    assert [shape.use_motion_module for shape in shapes] == [False, False, True]
    trained = read_checkpoint(UNET).config
    assert trained == replace(shapes[-1], null_audio_tokens=trained.null_audio_tokens)  # what is shipped was made so


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
@pytest.mark.parametrize(("name", "steps"), [("student", 4), ("student_2_steps", 2)])
def test_the_shipped_students_were_made_by_their_configs(name, steps):
    recipes = Path(training.__file__).parent / "micro"
    recipe = read_config(recipes / f"{name}.toml")
    shipped = EMBEDDED_STUDENT.with_stem(name)
    assert recorded_student(shipped) == recipe.distill.student() and recipe.distill.steps == steps
    assert shipped.stat().st_size < 2 * 2**20
    record = json.loads((recipes / f"{name}.json").read_text())
    made = from_dict(TrainConfig, record["training"])
    assert (made.distill, made.loss, made.optimizer) == (recipe.distill, recipe.loss, recipe.optimizer)
    assert (made.model.lora_rank, made.model.lora_targets) == (recipe.model.lora_rank, recipe.model.lora_targets)
