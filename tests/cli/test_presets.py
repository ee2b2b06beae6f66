"""Presets set steps, guidance, solver and reuse at once; what is given by itself goes before them; old values work."""

import logging

import pytest

from latentsync_core.__main__ import build_parser
from latentsync_core.cli.sync_settings import settings_from
from latentsync_core.errors import LatentSyncError
from latentsync_core.pipeline.settings import Settings
from latentsync_core.presets import DEFAULT_PRESET, PRESETS, find_preset


def settings(*options: str) -> Settings:
    files = ("sync", "--video", "a.mp4", "--audio", "a.wav", "--out", "b.mp4", "--no-cache")
    return settings_from(build_parser().parse_args([*files, *options]))


@pytest.mark.parametrize("name", PRESETS)
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
