"""Everybody in a clip, kept between runs beside the track of who is to speak, for hosts that show all with numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..disk_cache import DiskCache, content_key
from ..entry_file import read_entry, write_entry
from ..faces import FaceTrack
from ..faces.tracking.people import People, Person
from .plan import TrackedSource
from .run_cache import cached_track

PEOPLE = "people"  # kind of entry, and its folder's name


def cached_people(
    cache: DiskCache, key: dict[str, Any], compute: Callable[[], tuple[TrackedSource, People]]
) -> tuple[TrackedSource, People]:
    """The track under `key`, of a whole video, and everybody in it: from the cache, else from one `compute()`.

    key: of run_cache.track_key, so that a run of the command line finds the track, and the other way round.
    """
    made: list[tuple[TrackedSource, People]] = []

    def track() -> TrackedSource:
        made.append(compute())
        return made[0][0]

    people = cache.get(PEOPLE, content_key(**key), read_people)
    tracked = cached_track(cache, key, None, track)
    if people is None:
        people = (made[0] if made else compute())[1]
        cache.put(PEOPLE, content_key(**key), lambda path: write_people(path, people))
    return tracked, people


def write_people(path: Path, people: People) -> None:
    """Write everybody's tracks, by number."""
    tensors = {
        f"{person.number}.{name}": torch.from_numpy(np.ascontiguousarray(array))
        for person in people.persons
        for name, array in person.track.to_arrays().items()
    }
    about = {
        "persons": len(people.persons),
        "cuts": people.cuts,
        "count": people.count,
        "height": people.height,
        "width": people.width,
        "best_detection": float(people.best_detection),
    }
    write_entry(path, tensors, about)


def read_people(path: Path) -> People:
    """What `write_people` was given; raises ValueError for a damaged file."""
    tensors, about = read_entry(path)
    persons = []
    for number in range(1, about.pop("persons") + 1):
        prefix = f"{number}."
        arrays = {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
        persons.append(Person(number, FaceTrack.from_arrays(arrays)))
    return People(tuple(persons), tuple(about.pop("cuts")), **about)
