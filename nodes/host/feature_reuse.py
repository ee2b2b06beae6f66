"""Feature reuse under the host's samplers: what one sampling run keeps of every side of the guidance and window.

A MODEL that is patched carries the intervals. Each sampling run gets a state of its own, in the options that the host
hands down to the model for this run alone; it ends with them, cancelled or not.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import torch

from ...latentsync_core.models.unet.reuse import DeepFeatures

INTERVALS = "latentsync_reuse"  # in a MODEL's transformer_options: its ReuseIntervals
RUN = "latentsync_reuse_run"  # in the transformer_options of one sampling run: its ReuseRun
SAME_LEVEL = 1e-4  # relative: some samplers get their noise levels back from logarithms
UNCONDITIONAL = 1  # as the host counts in cond_or_uncond
SAMPLER_SAMPLE = comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE


@dataclass(frozen=True)
class ReuseIntervals:
    """Every how many steps the whole UNet runs, for the conditional and for the unconditional prediction."""

    reuse: int
    reuse_null: int


@dataclass
class WindowState:
    """What a window keeps for one side of the guidance, and the step of which it was computed."""

    features: DeepFeatures = field(default_factory=DeepFeatures)
    full_step: int = -1


class ReuseRun:
    """The features of one sampling run, by conditioning and window, so that batches may be split as the host likes.

    sigmas: the run's noise levels, falling. A sampler that evaluates the model more than once a step gets one full
    evaluation per full step and side.
    """

    def __init__(self, intervals: ReuseIntervals, sigmas: torch.Tensor):
        self.intervals = intervals
        self.levels = [-float(sigma) for sigma in sigmas]  # rising, as bisection wants them
        self.windows: dict[tuple[Any, int], WindowState] = {}

    def features(self, options: dict[str, Any], start: int) -> list[DeepFeatures]:
        """One for each side in a batch of the window from frame `start` on, emptied where its turn to run has come.

        options: the host's transformer_options of this evaluation.
        """
        level = -float(options["sigmas"][0]) * (1 - SAME_LEVEL)
        step = max(bisect_right(self.levels, level) - 1, 0)
        found = []
        for conditioning, side in zip(options["uuids"], options["cond_or_uncond"], strict=True):
            state = self.windows.setdefault((conditioning, start), WindowState())
            interval = self.intervals.reuse_null if side == UNCONDITIONAL else self.intervals.reuse
            if step % interval == 0 and step != state.full_step:
                state.features.forget()
                state.full_step = step
            found.append(state.features)
        return found


def make_room(kept: list[DeepFeatures], needed: int) -> None:
    """Move a window's features to memory of the CPU where less than `needed` bytes would be left beside them.

    A long clip keeps features of all its windows at once, several gigabytes; copying them back takes a fraction of
    what a cached step computes.
    """
    for features in kept:
        maps = features.maps
        if maps is not None and comfy.model_management.get_free_memory(maps.device) < needed:
            features.maps = maps.cpu()


def with_feature_reuse(patcher, intervals: ReuseIntervals):
    """A clone of a native MODEL that reuses features under every sampler. On a clone of a clone the last one counts."""
    clone = patcher.clone()
    clone.model_options["transformer_options"][INTERVALS] = intervals
    clone.remove_wrappers_with_key(SAMPLER_SAMPLE, INTERVALS)
    clone.add_wrapper_with_key(SAMPLER_SAMPLE, INTERVALS, start_run)
    return clone


def intervals_of(patcher) -> ReuseIntervals:
    """What a MODEL was patched with; (1, 1), nothing is reused, without."""
    return patcher.model_options["transformer_options"].get(INTERVALS, ReuseIntervals(1, 1))


def start_run(executor, guider, sigmas, extra_args, *rest, **options):
    """Sampler wrapper: put a fresh state into the options of this run."""
    model_options = extra_args["model_options"]
    transformer_options = model_options["transformer_options"]
    run = ReuseRun(transformer_options[INTERVALS], sigmas)
    model_options = {**model_options, "transformer_options": {**transformer_options, RUN: run}}
    return executor(guider, sigmas, {**extra_args, "model_options": model_options}, *rest, **options)
