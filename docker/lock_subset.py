"""Print the part of a hashed lock that some packages need, for an image that holds no more.

    python lock_subset.py LOCK NAME... [--without NAME]...

pip can neither take hashes from a constraints file nor install "these, as locked there". But uv
notes beside each pin who asked for it (`# via`), so what a NAME needs can be read from the lock
alone. NAME is a pinned package, or a workspace member, which is itself not in the lock. The output
keeps pins and hashes; installed with `pip install --require-hashes` and without `--no-deps`, a
package that is missing here is an error and not an unchecked download.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==\S+")
_VIA = re.compile(r"    # +(?:via )?(?P<name>[a-z0-9][a-z0-9-]*)(?: \(.*\))?")
_FOOTER = "# The following packages were excluded from the output:"


@dataclass(frozen=True)
class Pin:
    """One package: its lines without comments, and who asked for it."""

    lines: tuple[str, ...]
    via: frozenset[str]


def parse(text: str) -> dict[str, Pin]:
    """The pins of a lock by name. Raises `ValueError` for a line that is not understood."""
    blocks: dict[str, list[str]] = {}
    name = ""
    for line in text.partition(_FOOTER)[0].strip().splitlines():
        if start := _PIN.match(line):
            name = start["name"]
            blocks[name] = []
        if not name or not (start or line.startswith("    ")):
            raise ValueError(f"not a line of a lock: {line!r}")
        blocks[name].append(line)
    return {name: _pin(lines) for name, lines in blocks.items()}


def _pin(lines: list[str]) -> Pin:
    comments = [line for line in lines if line.lstrip().startswith("#")]
    named = [_VIA.fullmatch(line) for line in comments if line != "    # via"]
    if not named or None in named:
        raise ValueError(f"{lines[0]!r}: nobody asks for it")
    kept = tuple(line for line in lines if line not in comments)
    return Pin(kept, frozenset(match["name"] for match in named if match is not None))


def select(pins: dict[str, Pin], roots: set[str], without: set[str]) -> list[str]:
    """The names that the roots need, sorted. Raises `ValueError` for a root nobody knows."""
    known = pins.keys() | {name for pin in pins.values() for name in pin.via}
    if unknown := (roots | without) - known:
        raise ValueError(f"not in the lock: {', '.join(sorted(unknown))}")
    wanted = set(roots)
    while True:
        more = {name for name, pin in pins.items() if pin.via & wanted} - wanted - without
        if not more:
            return sorted(wanted & pins.keys())
        wanted |= more


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Print the part of a lock that packages need.")
    parser.add_argument("lock", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    arguments = parser.parse_args()
    try:
        pins = parse(arguments.lock.read_text(encoding="utf-8"))
        names = select(pins, set(arguments.names), set(arguments.without))
    except ValueError as error:
        sys.exit(f"{arguments.lock}: {error}")
    for name in names:
        print(*pins[name].lines, sep="\n")


if __name__ == "__main__":
    main()
