"""What seeds say about a difference: means and spreads, and whether two ways differ by more than seeds do."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .ablation import Result
from .scores import Marks, average

SPREADS_APART = 2.0  # standard deviations between seeds that two means must be apart


def across_seeds(results: Sequence[Result]) -> list[tuple[str, Marks, Marks]]:
    """For each label the mean over seeds of the exams' means, and the standard deviation between the seeds."""
    labels = list(dict.fromkeys(result.label for result in results))
    rows = []
    for label in labels:
        means = [result.mean for result in results if result.label == label]
        values = {f.name: np.array([getattr(mean, f.name) for mean in means], float) for f in fields(Marks)}
        spread = {name: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for name, v in values.items()}
        rows.append((label, average(means), Marks(**spread)))
    return rows


def beyond_seed_noise(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two groups of values, one per seed, differ by more than seeds do: no value of one lies among the other's,
    and their means are further apart than SPREADS_APART times the larger standard deviation.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    apart = a.max() < b.min() or b.max() < a.min()
    spread = max(a.std(ddof=1) if len(a) > 1 else 0.0, b.std(ddof=1) if len(b) > 1 else 0.0)
    return bool(apart and len(a) > 1 and len(b) > 1 and abs(a.mean() - b.mean()) > SPREADS_APART * spread)


@dataclass(frozen=True)
class Comparison:
    """Two ways that differ in one thing, by their labels; by how much a measure of the second is above the first's."""

    first: str
    second: str
    difference: float
    beyond: bool


def comparisons(results: Sequence[Result], measure: str = "correlation") -> list[Comparison]:
    """Every pair of ways that differs in the cell, the position or, from the lowest on, the guidance, in that alone."""
    ways: dict[tuple[str, float, str], list[Result]] = {}
    for result in results:
        ways.setdefault(result.way, []).append(result)
    lowest = min(guidance for _, guidance, _ in ways)
    found = []
    for first, second in itertools.combinations(ways, 2):
        differing = [a != b for a, b in zip(first, second, strict=True)]
        if sum(differing) != 1 or (differing[1] and lowest not in (first[1], second[1])):
            continue
        a, b = ([getattr(result.mean, measure) for result in ways[way]] for way in (first, second))
        labels = (ways[way][0].label for way in (first, second))
        found.append(Comparison(*labels, float(np.mean(b) - np.mean(a)), beyond_seed_noise(a, b)))
    return found


def comparison_table(found: Sequence[Comparison], measure: str = "correlation") -> str:
    """Markdown, a row per comparison."""
    lines = [f"| from | to | {measure} | beyond seed noise |", "|---|---|---|---|"]
    lines += [f"| {c.first} | {c.second} | {c.difference:+.3f} | {'yes' if c.beyond else 'no'} |" for c in found]
    return "\n".join(lines)
