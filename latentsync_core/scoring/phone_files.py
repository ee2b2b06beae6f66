"""Read timed phones from the files that aligners and people write: pocketsphinx's JSON, TextGrid, lines of labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LatentSyncError
from ..input_files import check_readable
from .phones import Phone

NEEDS = "a file of timed phones (pocketsphinx's .json, Praat's .TextGrid, or lines `start stop phone` in seconds)"
HTK_UNIT_SECONDS = 1e-7  # HTK's label files count in whole units of 100 ns
PHONE_TIERS = ("phones", "phone", "phonemes", "segments")  # names of the tier that aligners give to phones
TEXTGRID_VALUE = re.compile(r'"((?:[^"]|"")*)"|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)')


def read_phones(path: Path | str) -> tuple[Phone, ...]:
    """Read timed phones in order of time.

    A file is recognised by its content: pocketsphinx's `*.phone.json` (words hold phones: "b" start, "d" duration, "t"
    name), a TextGrid's tier of phones (long or short form), else a label per line: start, stop, phone, separated by
    blanks, in seconds, or where all times are whole numbers and the name ends in .lab, in HTK's units of 100 ns.
    Raises LatentSyncError for a file that is none of these, holds no phone, or whose times run backwards.
    """
    path = Path(path)
    check_readable(path, NEEDS)
    text = decoded_text(path, NEEDS)
    if text.lstrip().startswith("{"):
        phones = list(pocketsphinx_phones(text, path))
    elif "TextGrid" in text[:200]:
        phones = list(textgrid_phones(text, path))
    else:
        phones = list(label_phones(text, path))
    if not phones:
        raise LatentSyncError(f"{path}: this file holds no phone; {NEEDS} is needed.")
    for phone, following in zip(phones, phones[1:], strict=False):
        if following.start < phone.start:
            raise LatentSyncError(
                f"{path}: {following.name!r} at {following.start:g} s comes after {phone.name!r} at {phone.start:g} s; "
                "order the phones by time."
            )
    return tuple(phones)


def decoded_text(path: Path, needs: str) -> str:
    """A file's text in UTF-8, or in UTF-16 with a mark as Praat may write it. needs: what the file should be."""
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise LatentSyncError(f"{path}: this file is no text in UTF-8; {needs} is needed.") from error


def pocketsphinx_phones(text: str, path: Path) -> Iterator[Phone]:
    """The leaves of an alignment: one JSON object per utterance."""
    try:
        for line in text.splitlines():
            if line.strip():
                yield from _leaves(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LatentSyncError(
            f"{path}: this JSON is no alignment of pocketsphinx ({error}); align with phones "
            "(`pocketsphinx -phone_align yes align`)."
        ) from error


def _leaves(node: dict[str, Any], depth: int = 0) -> Iterator[Phone]:
    """Phones lie two levels below the utterance; an alignment of states goes deeper, and one of words less deep."""
    if depth == 2:
        yield Phone(str(node["t"]), float(node["b"]), float(node["b"]) + float(node["d"]))
        return
    if "w" not in node:
        raise ValueError(f"{node['t']!r} has no phones")
    for child in node["w"]:
        yield from _leaves(child, depth + 1)


def label_phones(text: str, path: Path) -> Iterator[Phone]:
    """A phone per line; what follows a third blank is a comment of the aligner's, an empty line is nothing."""
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    htk = path.suffix == ".lab" and all(cell.isdecimal() for _, row in rows for cell in row[:2])
    unit = HTK_UNIT_SECONDS if htk else 1.0
    for number, row in rows:
        try:
            start, stop = (float(cell) * unit for cell in row[:2])
        except ValueError as error:
            raise LatentSyncError(
                f"{path}: line {number} is {' '.join(row)[:40]!r}; each line needs `start stop phone` in seconds."
            ) from error
        yield _checked(Phone(row[2] if len(row) > 2 else "", start, stop), f"{path}: line {number}")


def textgrid_phones(text: str, path: Path) -> Iterator[Phone]:
    """The intervals of the tier of phones."""
    try:
        tiers = dict(_interval_tiers(text))
    except (ValueError, IndexError, TypeError) as error:
        raise LatentSyncError(f"{path}: this TextGrid is cut short or damaged ({error}); save it again.") from error
    chosen = next((tiers[name] for name in PHONE_TIERS if name in tiers), None)
    if chosen is None:
        found = ", ".join(repr(name) for name in tiers) or "none"
        raise LatentSyncError(f"{path}: no tier is called {' or '.join(PHONE_TIERS)} (found: {found}); rename yours.")
    for start, stop, label in chosen:
        yield _checked(Phone(label.strip(), start, stop), str(path))


def _interval_tiers(text: str) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """Every tier of intervals: its name in small letters, and its (start, stop, label).

    The long and the short form hold the same values in the same order, quoted strings and bare numbers. A tier is its
    class, name, start, stop and count, then start, stop and label of every interval.
    """
    values_alone = re.sub(r"(?m)^\s*(?:item|intervals|points)\s*\[\d*\]\s*:?", "", text)
    found = TEXTGRID_VALUE.finditer(values_alone)
    values = [match.group(1) if match.group(2) is None else float(match.group(2)) for match in found]
    at = 0
    while "IntervalTier" in values[at:]:
        at = values.index("IntervalTier", at)
        name, count = str(values[at + 1]).lower(), int(values[at + 4])
        rows = [values[first : first + 3] for first in range(at + 5, at + 5 + 3 * count, 3)]
        yield name, [(float(start), float(stop), str(label)) for start, stop, label in rows]
        at += 5 + 3 * count


def _checked(phone: Phone, where: str) -> Phone:
    if not 0 <= phone.start < phone.stop:
        raise LatentSyncError(
            f"{where}: {phone.name!r} lasts from {phone.start:g} to {phone.stop:g} s; a phone must start at 0 or later "
            "and stop after that."
        )
    return phone
