"""A clean environment without a network: what `make setup` has installed, copied by name.

Neither uv's cache nor an index can be counted on where the tests run. But the development
environment holds every third-party package that the wheels may ask for, from the hashed lock. So
exactly the distributions that the wheels' metadata asks for are copied out of it, file by file: a
requirement that is not declared is then missing, as it would be at a user's.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(requirements: Iterable[str], extras: Iterable[str] = ()) -> set[str]:
    """The distributions that the requirements need here; our own are left out."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = list(_asked_for(requirements, extras))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith("tocsin-"):
            continue
        found.add(name)
        further = importlib.metadata.requires(name) or []
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _asked_for(further, [extra])
    return found


def _asked_for(requirements: Iterable[str], extras: Iterable[str]) -> Iterable[Requirement]:
    for requirement in map(Requirement, requirements):
        contexts = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(map(requirement.marker.evaluate, contexts)):
            yield requirement


def copy_distribution(name: str, site_packages: Path) -> None:
    """Copy an installed distribution's files; scripts outside of site-packages stay behind."""
    files = importlib.metadata.distribution(name).files
    assert files, f"{name} does not say what it has installed"
    for file in files:
        if ".." not in file.parts and file.suffix != ".pyc":
            target = site_packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(str(file.locate())), target)
