"""One clip of a batch, and what its folder already holds of it. Importing this loads neither torch nor numpy."""

import json
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..file_names import valid_text
from ..generators.choice import GeneratorChoice
from ..settings import Settings
from ..versions import plain
from .input_source import Source, state_of

UNRELATED = ("batch", "cache", "overwrite", "resume")  # settings that leave a result as it is


class JobState(Enum):
    """How far an earlier batch came with a job."""

    NEW = "new"
    INTERRUPTED = "interrupted"
    DONE = "done"
    CHANGED = "changed"  # its line or one of its files is another by now


@dataclass(frozen=True)
class Job:
    """A video, a voice and how to sync them.

    line: of the job file. output: the result; its report stands beside it, as .json. scored: whether the report is to
    say how well lips and voice agree.
    """

    line: int
    video: Source
    audio: Source
    output: Path
    choice: GeneratorChoice
    settings: Settings
    scored: bool = True

    @property
    def name(self) -> str:
        """By which the summary knows it."""
        return self.output.stem

    @property
    def report(self) -> Path:
        """Where its report goes."""
        return self.output.with_suffix(".json")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that its result depends on as far as the job file and its files' states tell, as JSON knows it."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in UNRELATED}
        return {
            "video": state_of(self.video),
            "audio": state_of(self.audio),
            "output": self.output.name,
            "models": plain(self.choice),
            "settings": plain(settings),
        }

    def state(self) -> JobState:
        """What an earlier batch left of this job."""
        known = self.earlier_report()
        if known is None:
            return JobState.NEW
        if known.get("job") != self.identity:
            return JobState.CHANGED
        return JobState.DONE if "output_frames" in known and self.output.is_file() else JobState.INTERRUPTED

    def earlier_report(self) -> dict[str, Any] | None:
        """What stands where the report goes; None for nothing, and for what no batch has written."""
        try:
            known = json.loads(self.report.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) and "job" in known else None

    def write_report(self, content: dict[str, Any]) -> None:
        """Write the report, or before there is one the note whose the unfinished result is; whole or not at all."""
        text = valid_text(json.dumps({"job": self.identity, **content}, indent=2, ensure_ascii=False))
        with atomic_write(self.report) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
