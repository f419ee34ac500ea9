"""Train each small system on real speech, score it on other voices, and write docs/evaluation/learn.md.

python -m tests.learn --store store       within an hour on two cores; `make learn` calls it
python -m tests.learn --only asv-small    one of them; names: those of the table
python -m tests.learn --seeds 3           each system with two more seeds; of systems that are trained
python -m tests.learn --any-commit        keep rows that older code measured, if their specs are the same

It goes on where it was stopped: trainings, and rows of this commit with the same specs, are kept in `--work`. The model
is the champion of the demo in the store.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tasks.registry.lookup import find_weights, pull_model
from tests.learn.clustering import CLUSTERINGS, measure_clustering
from tests.learn.measure import LEARNERS, Campaign, measure, try_to
from tests.learn.report import page
from tests.learn.rows import LearnRow, add_row, read_rows
from tests.learn.seeds import add_run, measure_seed, read_runs
from wavlm.errors import CodedError, UsageError
from wavlm.pipeline.store import Store
from wavlm.storage.files import write_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evaluation" / "learn.md"
MODEL = "wavlm-demo@champion"
DECIDES = ("wavlm", "data_specs", "tests/learn")  # on what is measured


def main() -> int:
    """Train, score, report."""
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        model = champion(Path(options.store), options.work)
    except CodedError as error:
        print(error)
        return error.exit_code
    campaign = Campaign(options.work, model, commit_of(ROOT), options.any_commit)
    wanted = [name for name in (*LEARNERS, *CLUSTERINGS) if not options.only or name in options.only]
    learners, clusterings = ([name for name in wanted if name in known] for known in (LEARNERS, CLUSTERINGS))
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        ended = [keep(options.work, found) for found in pool.map(partial(try_to, measure, campaign), learners)]
    ended += [keep(options.work, try_to(measure_clustering, campaign, name)) for name in clusterings]
    ended += [train_seed(campaign, name, seed) for seed in range(1, options.seeds) for name in learners]
    write_text(PAGE, page(read_rows(options.work), (*LEARNERS, *CLUSTERINGS), read_runs(options.work)))
    return 0 if all(ended) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store", help="where `make demo` has left its champion")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "wavlm-learn")
    parser.add_argument("--only", nargs="*", default=(), choices=(*LEARNERS, *CLUSTERINGS), metavar="NAME")
    parser.add_argument("--any-commit", action="store_true", help="keep rows of other commits, too")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each system")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, each with one thread")
    return parser.parse_args()


def keep(work: Path, found: LearnRow | str) -> bool:
    """Write a row down, and say it; whether it is one."""
    if isinstance(found, str):
        print(found, flush=True)
        return False
    add_row(work, found)
    verdict = "yes" if found.beats_both else "NO"
    print(f"{found.system:28} {found.figure} {found.trained.value:.3g}  beats both: {verdict}", flush=True)
    return True


def train_seed(campaign: Campaign, name: str, seed: int) -> bool:
    """Train a system with another seed, and write it down; whether it ended."""
    run = try_to(partial(measure_seed, seed=seed), campaign, name)
    if isinstance(run, str):
        print(run, flush=True)
        return False
    add_run(campaign.work, run)
    print(f"{run.system:28} seed {run.seed}: {run.value:.3g}", flush=True)
    return True


def champion(store: Path, work: Path) -> Path:
    """The folder of the demo's champion. Raises UsageError (MODEL_UNKNOWN) if there is none in the store."""
    try:
        found = find_weights(Store(store), MODEL)
    except UsageError as error:
        raise UsageError(
            "MODEL_UNKNOWN", f"the systems stand on {MODEL}, which is not registered ({error}); run `make demo` first"
        ) from error
    folder = work / f"model-{found.sha256[:12]}"
    return folder if folder.exists() else pull_model(Store(store), MODEL, folder)


def commit_of(root: Path) -> str:
    """The commit at hand; with a + if files that decide differ from it."""
    changed = git(root, "status", "--porcelain", "--", *DECIDES)
    return git(root, "rev-parse", "--short", "HEAD") + ("+" if changed else "")


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
