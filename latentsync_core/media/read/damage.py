"""The damage of a video, for the run's report: which frames were replaced, which are incomplete."""

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

log = logging.getLogger(__name__)

LISTED_FRAMES = 100  # damaged frames named one by one; all are counted


@dataclass
class Damage:
    """Faults of a video, filled in as it is read for the first time.

    replaced: frames that did not decode and show the last good one before them (the first ones, the first good one).
    incomplete: frames that decoded in part and are shown as the decoder conceals it; not every decoder reports
    them. frames: the first of both, each {"frame", "seconds", "what"}. seconds_cut: by how much the file ends
    before the length its header states. dropped: pictures that decoders make of damage for times already taken,
    or too late for them; they are not shown.
    """

    replaced: int = 0
    incomplete: int = 0
    seconds_cut: float = 0.0
    dropped: int = 0
    frames: list[dict] = field(default_factory=list)

    def note(self, path: Path, frame: int, time: Fraction, reason: str, replaced: bool) -> None:
        """Count one frame, list the first hundred, and warn of the first.

        Args:
            path: of the video, for the warning.
            frame: its index.
            time: of it, seconds.
            reason: the sign of damage.
            replaced: whether it is replaced; else it is incomplete.
        """
        what = "replaced" if replaced else "incomplete"
        if not self.replaced + self.incomplete:
            log.warning(
                "%s: damaged from frame %d on, at %.2f s (%s); frames that do not decode show the last good one, "
                "the rest keep their times. The report lists them; a fresh copy of the file is better.",
                path,
                frame,
                time,
                reason,
            )
        setattr(self, what, getattr(self, what) + 1)
        if len(self.frames) < LISTED_FRAMES:
            self.frames.append({"frame": frame, "seconds": round(float(time), 3), "what": what})

    def warn_of_dropped(self, path: Path) -> None:
        """Warn of the pictures that are not shown."""
        log.warning(
            "%s: %d pictures that were decoded from damaged data too late for their times are left out; "
            "the frames before them are shown instead. A fresh copy of the file is better.",
            path,
            self.dropped,
        )

    def note_cut(self, path: Path, end: Fraction, missing: float) -> None:
        """Warn that the file ends before its stated length."""
        self.seconds_cut = round(missing, 3)
        log.warning(
            "%s: ends after %.2f s, %.2f s before the length its header states: the copy or recording was truncated. "
            "What is there is used.",
            path,
            end,
            missing,
        )
