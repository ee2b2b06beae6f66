"""What one exam, or many on average, came out at."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Marks:
    """Numbers for people to compare.

    correlation: of the mouth's opening with the truth, -1 to 1. lag: frames at which it is greatest, late: above 0.
    shuffled: correlation with the truth of other voices. psnr (dB), ssim: of the lower face against the drawn answer.
    flicker, border_energy: relative to the drawn answer's own, 1 = as steady as that. opening_range: standard deviation
    of the opening as the mesh sees it over that of the truth; what the mesh makes of the drawn answer is the most.
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
        """For JSON, which knows neither NaN nor infinity."""
        return {name: round(float(value), 4) if np.isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, float | None]) -> "Marks":
        """Back from JSON; what it does not know becomes NaN."""
        return cls(**{name: float("nan") if value is None else value for name, value in values.items()})


NAMES = tuple(field.name for field in fields(Marks))
HEADINGS = ("correlation", "lag", "shuffled", "PSNR", "SSIM", "flicker", "borders", "range")
DECIMALS = (3, 2, 3, 1, 3, 2, 2, 2)


def average(marks: Sequence[Marks]) -> Marks:
    """The mean of every measure over the exams in which it could be taken; of the lags the mean magnitude."""
    columns = {name: np.array([getattr(mark, name) for mark in marks], float) for name in NAMES}
    columns["lag"] = np.abs(columns["lag"])
    return Marks(
        **{name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in columns.items()}
    )


def table(rows: Iterable[tuple[str, Marks]], spreads: Sequence[Marks] | None = None) -> str:
    """A Markdown table, a row per (name, marks); spreads: standard deviations to show behind each mean."""
    lines = [f"| | {' | '.join(HEADINGS)} |", f"|{'---|' * (len(HEADINGS) + 1)}"]
    for number, (name, marks) in enumerate(rows):
        cells = []
        for field, decimals in zip(NAMES, DECIMALS, strict=True):
            text = _number(getattr(marks, field), decimals)
            spread = _number(getattr(spreads[number], field), decimals) if spreads else ""
            cells.append(f"{text} ± {spread}" if spread not in ("", "-") else text)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float, decimals: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"
