"""The whole fuzz: many changed files with fixed seeds, and their outcomes as a table in docs/fuzz.md.

python -m tests.fuzz [NAME ...]     takes some minutes; `make fuzz` calls it
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fuzz.md"
PLAN = {"audio": (2000, 1), "tables": (500, 2), "yaml": (500, 3)}  # name -> number of files, seed
OUTCOMES = ("ok", "coded", "crash", "hang", "silent")
GOOD = ("ok", "coded")
HEAD = """\
# Fuzz

Files that were changed at random, with fixed seeds. `make fuzz` runs it and writes this page; `make test` runs a small
part of it. What is changed, and what counts as silent, stands at the head of `tests/fuzz/audio.py`, `tables.py` and
`yaml.py`.

- ok: the file is read, and nothing of it is lost without a word
- coded: it is refused with a code of [errors.md](errors.md)
- crash: an exception without a code
- hang: no answer in time
- silent: something is lost, or joined to the wrong recording, and nothing is said

"""


def main(names: list[str]) -> int:
    """Run the plan, or the named part of it; returns 1 if a file was neither read nor refused with a code."""
    rows, faults = [], []
    for name in names or PLAN:
        count, seed = PLAN[name]
        begin = time.monotonic()
        module = import_module(f"tests.fuzz.{name}")  # here, because audio and tables need more libraries than YAML
        results = getattr(module, "outcomes", module.run)(count, seed)
        counts = Counter(str(item["outcome"]) for item in results)
        numbers = " | ".join(f"{counts[outcome]:,}" for outcome in OUTCOMES)
        rows.append(f"| {name} | {len(results):,} | {seed} | {numbers} | {time.monotonic() - begin:.0f} |")
        print(rows[-1], flush=True)
        faults += [f"- {name}, {item['kind']}: {item['outcome']}: {item['detail']}"
                   for item in results if item["outcome"] not in GOOD]  # fmt: skip
    if not names:
        PAGE.write_text(page(rows, faults))
    print("\n".join(faults))
    return bool(faults)


def page(rows: list[str], faults: list[str]) -> str:
    """The text of docs/fuzz.md."""
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    )
    table = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d} at commit {commit.stdout.strip()}.",
        "",
        f"| part | files | seed | {' | '.join(OUTCOMES)} | seconds |",
        f"|{'---|' * (4 + len(OUTCOMES))}",
        *rows,
        *(["", "## Faults", "", *faults] if faults else []),
    ]
    return HEAD + "\n".join(table) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
