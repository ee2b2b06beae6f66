"""The nested tables of a JSON or TOML file as frozen dataclasses; whatever does not fit is an error with its place."""

import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ..errors import LatentSyncError


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's tables. Raises LatentSyncError before Python 3.11, which cannot read them."""
    try:
        import tomllib
    except ModuleNotFoundError as error:
        raise LatentSyncError(f"{path}: TOML needs Python 3.11; write the config as .json here.") from error
    return tomllib.loads(path.read_text(encoding="utf-8"))


def from_dict(kind: type, values: Any, name: str = ""):
    """Build the dataclass `kind` from nested tables. Raises LatentSyncError naming the invalid key as a dotted path."""
    if not isinstance(values, dict):
        raise LatentSyncError(f"{name or 'the config'} is {values!r}; a table of settings is needed.")
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(values) - known)
    prefix = f"{name}." if name else ""
    if unknown:
        raise LatentSyncError(
            f"unknown keys {', '.join(prefix + key for key in unknown)}; known are {', '.join(sorted(known))}."
        )
    hints = typing.get_type_hints(kind)
    try:
        return kind(**{key: convert(hints[key], value, prefix + key) for key, value in values.items()})
    except TypeError as error:
        raise LatentSyncError(f"{name or 'the config'} lacks a setting: {error}.") from error


def convert(kind: Any, value: Any, name: str) -> Any:
    """`value` as the annotated type `kind`; LatentSyncError where it is of another type."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(option for option in kind.__args__ if option is not types.NoneType)
    if is_dataclass(kind):
        return from_dict(kind, value, name)
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    if typing.get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        return tuple(convert(kind.__args__[0], item, name) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = typing.get_origin(kind) or kind
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise LatentSyncError(f"{name} is {value!r}; {getattr(plain, '__name__', plain)} is needed.")
    return value
