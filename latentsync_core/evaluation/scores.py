"""The scores of one evaluation clip, or their mean over many."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Scores:
    """One number per metric.

    correlation: of the mouth's opening with the truth, -1 to 1. lag: frames at which it is greatest, late: above 0.
    shuffled: correlation with the truth of other voices. psnr (dB), ssim: of the lower face against the ground truth.
    flicker, border_energy: relative to the ground truth's own, 1 = as stable. opening_range: standard deviation of the
    opening measured by the mesh over that of the truth; the upper bound is what it measures in the ground truth.
    """

    correlation: float
    lag: float
    shuffled: float
    psnr: float
    ssim: float
    flicker: float
    border_energy: float
    opening_range: float = float("nan")

    def to_dict(self) -> dict[str, float | None]:
        """For JSON, which has neither NaN nor infinity."""
        return {name: round(float(value), 4) if np.isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, float | None]) -> "Scores":
        """From JSON; null becomes NaN."""
        return cls(**{name: float("nan") if value is None else value for name, value in values.items()})


NAMES = tuple(field.name for field in fields(Scores))
HEADINGS = ("correlation", "lag", "shuffled", "PSNR", "SSIM", "flicker", "borders", "range")
DECIMALS = (3, 2, 3, 1, 3, 2, 2, 2)


def average(scores: Sequence[Scores]) -> Scores:
    """The mean of every metric over the clips in which it is defined; of the lags the mean magnitude."""
    columns = {name: np.array([getattr(score_clip, name) for score_clip in scores], float) for name in NAMES}
    columns["lag"] = np.abs(columns["lag"])
    return Scores(
        **{name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in columns.items()}
    )


def table(rows: Iterable[tuple[str, Scores]], deviations: Sequence[Scores] | None = None) -> str:
    """A Markdown table, a row per (name, scores); deviations: standard deviations to show behind each mean."""
    lines = [f"| | {' | '.join(HEADINGS)} |", f"|{'---|' * (len(HEADINGS) + 1)}"]
    for number, (name, scores) in enumerate(rows):
        cells = []
        for field, decimals in zip(NAMES, DECIMALS, strict=True):
            text = _number(getattr(scores, field), decimals)
            deviation = _number(getattr(deviations[number], field), decimals) if deviations else ""
            cells.append(f"{text} ± {deviation}" if deviation not in ("", "-") else text)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float, decimals: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"
