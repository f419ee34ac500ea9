"""`python -m benchmarks.scale [NAME ...] [--size N] [--json FILE]`: measure, and print the figures."""

from __future__ import annotations

import argparse
import json
import pkgutil
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks import scale
from benchmarks.scale.row import Row

NO_MEASURE = {"__main__", "cost", "row"}


def find_names() -> list[str]:
    """The modules of this package that measure something: those with `measure`."""
    names = sorted(found.name for found in pkgutil.iter_modules(scale.__path__) if found.name not in NO_MEASURE)
    return [name for name in names if hasattr(import_module(f"benchmarks.scale.{name}"), "measure")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; none: list the names")
    parser.add_argument("--size", type=int, help="how many fake utterances, recordings or parts; not given: as named")
    parser.add_argument("--json", type=Path, help="append each figure to this file, one JSON object per line")
    given = parser.parse_args(arguments)
    known = find_names()
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(known)}")
    if not given.names:
        print("\n".join(known))
    for name in given.names:
        rows: list[Row] = import_module(f"benchmarks.scale.{name}").measure(given.size)
        for row in rows:
            print(row, flush=True)
        if given.json:
            with given.json.open("a") as file:
                file.writelines(json.dumps({"name": name, **asdict(row)}) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
