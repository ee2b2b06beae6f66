"""Significance over seeds: means, standard deviations, and whether two configurations differ by more than seeds."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .ablation import Result
from .scores import Scores, average

MIN_DEVIATIONS = 2.0  # standard deviations between seeds that two means must be apart


def across_seeds(results: Sequence[Result]) -> list[tuple[str, Scores, Scores]]:
    """For each label the mean over seeds of the clips' means, and the standard deviation between the seeds."""
    labels = list(dict.fromkeys(result.label for result in results))
    rows = []
    for label in labels:
        means = [result.mean for result in results if result.label == label]
        values = {f.name: np.array([getattr(mean, f.name) for mean in means], float) for f in fields(Scores)}
        deviation = {name: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for name, v in values.items()}
        rows.append((label, average(means), Scores(**deviation)))
    return rows


def beyond_seed_noise(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two groups of values, one per seed, differ by more than seeds do: no value of one lies among the other's,
    and their means are further apart than MIN_DEVIATIONS times the larger standard deviation.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    apart = a.max() < b.min() or b.max() < a.min()
    deviation = max(a.std(ddof=1) if len(a) > 1 else 0.0, b.std(ddof=1) if len(b) > 1 else 0.0)
    return bool(apart and len(a) > 1 and len(b) > 1 and abs(a.mean() - b.mean()) > MIN_DEVIATIONS * deviation)


@dataclass(frozen=True)
class Comparison:
    """Two configurations that differ in one choice, by label, and the difference of a metric, second minus first."""

    first: str
    second: str
    difference: float
    beyond: bool


def comparisons(results: Sequence[Result], metric: str = "correlation") -> list[Comparison]:
    """Every pair of configurations that differs in one choice: cell, position, or lowest guidance and another."""
    configurations: dict[tuple[str, float | None, str], list[Result]] = {}
    for result in results:
        configurations.setdefault(result.configuration, []).append(result)
    lowest = min((guidance for _, guidance, _ in configurations if guidance is not None), default=None)
    found = []
    for first, second in itertools.combinations(configurations, 2):
        differing = [a != b for a, b in zip(first, second, strict=True)]
        if sum(differing) != 1 or (differing[1] and lowest not in (first[1], second[1])):
            continue
        a, b = (
            [getattr(result.mean, metric) for result in configurations[configuration]]
            for configuration in (first, second)
        )
        labels = [configurations[configuration][0].label for configuration in (first, second)]
        difference = float(np.mean(b) - np.mean(a))
        found.append(Comparison(labels[0], labels[1], difference, beyond_seed_noise(a, b)))
    return found


def comparison_table(found: Sequence[Comparison], metric: str = "correlation") -> str:
    """Markdown, a row per comparison."""
    lines = [f"| from | to | {metric} | beyond seed noise |", "|---|---|---|---|"]
    lines += [f"| {c.first} | {c.second} | {c.difference:+.3f} | {'yes' if c.beyond else 'no'} |" for c in found]
    return "\n".join(lines)
