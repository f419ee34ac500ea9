"""The campaign of faults: try the points of the catalogue, and write docs/faults.md.

python -m tests.faults                      every row, all points of the full tier; `make faults` calls it
python -m tests.faults kill-labels G3       these rows, or those of a goal
python -m tests.faults --tier fast          a few points of each row
python -m tests.faults --page               write the page of what was tried

It goes on where it was stopped: what was tried is kept per commit in --work. The fast points of all rows come first, so
that a campaign that was stopped early says something about each row. --again tries once more what failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.faults.events import require_preloaded
from tests.faults.results import ROOT, Results, current_commit

PAGE = ROOT / "docs" / "faults.md"


def main() -> int:
    """Try, note, report; returns 1 if a promise was broken."""
    given = arguments()
    path = given.results or given.work / f"{current_commit()}.jsonl"
    if not given.page:
        require_preloaded(given.work / given.share.replace("/", "-of-"), ["-m", "tests.faults", *sys.argv[1:]])
        # Imported now: before, it would be for nothing. All trials are forks that have these imports.
        from tests.faults.campaign import Campaign

        Campaign(given, Results(path)).run()
    from tests.faults.catalogue import read_catalogue
    from tests.faults.report import page

    catalogue, tried = read_catalogue(), {}
    for file in (*(given.work / f"{commit}.jsonl" for commit in given.also), path):
        tried |= Results(file).by_row()  # read again: campaigns side by side write it, too
    if not given.results:
        PAGE.write_text(page(catalogue, tried))
    failed = [item for found in tried.values() for item in found if item.verdict == "FAILED"]
    for item in failed:
        print(f"FAILED {item.row}, point {item.point}: {item.detail}")
    return bool(failed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="rows or goals; nothing: all")
    parser.add_argument("--tier", choices=("fast", "full"), default="full")
    parser.add_argument("--points", type=int, help="most points of a row, in place of those of the tier")
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no trial after so long")
    parser.add_argument("--work", type=Path, default=ROOT / ".faults", help="where it works and keeps what was tried")
    parser.add_argument("--results", type=Path, help="note it in this file instead, and write no page")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="of N campaigns side by side, this is the K-th")
    parser.add_argument("--also", action="append", default=[], metavar="COMMIT",
                        help="the page has what was tried at this commit, too, if nothing newer was")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="try again what failed")
    parser.add_argument("--page", action="store_true", help="try nothing, write the page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
