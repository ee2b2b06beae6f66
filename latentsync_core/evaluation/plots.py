"""Plots: the mouth's opening against the ground truth, and scores by training configuration."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..training.synthetic.clips import FPS
from .scores import Scores

FIGURE_INCHES = (9.0, 2.4)
DOTS_PER_INCH = 110


def plot_openings(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    """One panel per clip. curves: (title, truth (N,), generated (N,)) in the unit of `mouth_opening`."""
    figure, panels = _figure(len(curves))
    for panel, (title, truth, found) in zip(panels, curves, strict=True):
        panel.plot(np.arange(len(truth)) / FPS, truth, color="0.55", label="ground truth")
        panel.plot(np.arange(len(found)) / FPS, found, color="C0", label="generated, by the face mesh")
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_ylabel("opening")
    panels[-1].set_xlabel("seconds")
    panels[0].legend(fontsize=8, ncols=2, loc="upper right", frameon=False)
    _save(figure, path)


def plot_scores(rows: Sequence[tuple[str, Scores, Scores]], path: Path, field: str = "correlation") -> None:
    """One bar per row of (label, mean, standard deviation between seeds)."""
    figure, panels = _figure(1, height=0.32 * len(rows) + 0.9)
    labels = [label for label, _, _ in rows]
    values = [getattr(mean, field) for _, mean, _ in rows]
    deviations = np.nan_to_num([getattr(deviation, field) for _, _, deviation in rows])
    panels[0].barh(labels[::-1], values[::-1], xerr=deviations[::-1], color="C0", alpha=0.75)
    panels[0].set_xlabel(f"{field} on held-out voices")
    panels[0].tick_params(labelsize=8)
    _save(figure, path)


def _figure(rows: int, height: float | None = None):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((FIGURE_INCHES[0], height or FIGURE_INCHES[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH)
