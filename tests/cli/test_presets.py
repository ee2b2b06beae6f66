"""Presets set steps, guidance, solver and reuse at once; what is given by itself goes before them; old values work."""

import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from latentsync_core.__main__ import build_parser
from latentsync_core.cli.first_checks import choice_from
from latentsync_core.cli.sync_settings import settings_from
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.safetensors_header import METADATA_PREFIX
from latentsync_core.models.students import EMBEDDED_STUDENT, STUDENT_NAME, recorded_student
from latentsync_core.pipeline.settings import Settings
from latentsync_core.presets import DEFAULT_PRESET, PRESETS, STUDENT_PRESET, find_preset
from latentsync_core.student import Student


def arguments(*options) -> Namespace:
    files = ("sync", "--video", "a.mp4", "--audio", "a.wav", "--out", "b.mp4", "--no-cache")
    return build_parser().parse_args([*files, *map(str, options)])


def settings(*options) -> Settings:
    return settings_from(arguments(*options))


def sampling(chosen: Settings) -> tuple:
    return chosen.steps, chosen.solver, chosen.guidance.scale, chosen.reuse, chosen.null_interval


@pytest.fixture
def student(tmp_path) -> Path:
    """A file that says it is a student's, of three steps."""
    path = tmp_path / "student.safetensors"
    about = {METADATA_PREFIX + key: value for key, value in Student(3, "ddim-trailing", 1.7).metadata().items()}
    save_file({"a.lora_up.weight": np.zeros((1, 1), np.float32)}, path, about)
    return path


@pytest.mark.parametrize("name", [name for name in PRESETS if name != STUDENT_PRESET])
def test_a_preset_is_the_values_it_names(name):
    chosen, preset = settings("--preset", name), PRESETS[name]
    assert (chosen.steps, chosen.solver, chosen.reuse) == (preset.steps, preset.solver, preset.reuse)
    assert (chosen.null_interval, chosen.guidance.scale) == (preset.reuse_null, preset.guidance)


def test_without_one_the_default_preset_runs_in_library_and_command_alike():
    assert settings() == settings("--preset", DEFAULT_PRESET)
    plain, preset = Settings(), PRESETS[DEFAULT_PRESET]
    assert (plain.steps, plain.reuse, plain.null_interval) == (preset.steps, preset.reuse, preset.reuse_null)


def test_an_option_goes_before_the_preset():
    chosen = settings("--preset", "fast", "--steps", "12", "--guidance", "2")
    assert (chosen.steps, chosen.guidance.scale, chosen.reuse) == (12, 2.0, PRESETS["fast"].reuse)
    assert settings("--preset", "fast", "--reuse", "2").null_interval == 2
    assert settings("--preset", "reference", "--reuse-null", "4").null_interval == 4


def test_an_encoder_s_effort_that_preset_named_before_still_works(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = settings("--preset", "veryslow")
    assert chosen.encode.preset == "veryslow" and chosen.steps == PRESETS[DEFAULT_PRESET].steps
    assert "--encoder-preset" in caplog.text
    assert settings("--encoder-preset", "slow").encode.preset == "slow"


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(LatentSyncError, match="'quick' is unknown; choose one of reference, published"):
        find_preset("quick")


@pytest.mark.parametrize("option", ["--lora", "--checkpoint"])
def test_a_student_is_sampled_as_it_was_trained_and_the_log_says_why(student, option, caplog):
    with caplog.at_level(logging.INFO, "latentsync_core"):
        assert sampling(settings(option, student)) == (3, "ddim-trailing", 1.0, 1, 1)
    assert "without guidance: its teacher's, 1.7, is folded in" in caplog.text


def test_options_and_presets_that_are_given_go_before_a_student_s_own(student):
    assert sampling(settings("--lora", student, "--steps", 2)) == (2, "ddim-trailing", 1.0, 1, 1)
    assert sampling(settings("--lora", student, "--guidance", 2)) == (3, "ddim-trailing", 2.0, 1, 1)
    assert sampling(settings("--lora", student, "--preset", "fast")) == sampling(settings("--preset", "fast"))


def test_turbo_takes_the_student_beside_a_checkpoint_and_samples_fast_without_one(student, tmp_path, caplog):
    checkpoint = tmp_path / "unet.pt"
    checkpoint.write_bytes(b"weights")
    turbo = "--checkpoint", checkpoint, "--preset", "turbo"
    assert sampling(settings(*turbo)) == sampling(settings("--preset", "fast"))
    assert "no student of this model" in caplog.text and choice_from(arguments(*turbo)).lora is None
    beside = student.rename(tmp_path / STUDENT_NAME.format("unet"))
    assert sampling(settings(*turbo)) == (3, "ddim-trailing", 1.0, 1, 1)
    assert choice_from(arguments(*turbo)).lora == beside
    assert choice_from(arguments("--checkpoint", checkpoint)).lora is None  # nobody asked for it


def test_turbo_takes_the_package_s_own_student_of_the_embedded_model():
    known = recorded_student(EMBEDDED_STUDENT)
    found = settings("--checkpoint", "embedded", "--preset", "turbo")
    assert (found.steps, found.solver, found.guidance.scale) == (known.steps, known.solver, 1.0)
    assert choice_from(arguments("--checkpoint", "embedded", "--preset", "turbo")).lora == EMBEDDED_STUDENT


def test_a_record_that_cannot_be_is_refused_by_the_file_s_name(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {METADATA_PREFIX + "student_steps": "few"})
    with pytest.raises(LatentSyncError, match=r"odd.safetensors: It records a student of 'few' steps"):
        settings("--checkpoint", path)
