"""`python -m benchmarks [names]`: run scripts, each in its own process, and keep the figures."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import results
from benchmarks.harness import ROOT, Claim, Figure, commit, number

# In the order of the table.
NETWORK = ("attention", "head", "front", "step", "memory", "exported")
DATA = ("loader", "effects", "mfcc", "kmeans", "labels", "seals", "growth", "end_to_end", "pooled")
SCRIPTS = tuple(name for name in NETWORK + DATA if (Path(__file__).parent / f"{name}.py").exists())


def main() -> int:
    """The exit code: 1 if a script failed; a goal that is missed is a figure, not a failure."""
    arguments = _arguments()
    if arguments.child is not None:
        return _measure(arguments.child, arguments.device, arguments.into)
    failed = []
    deadline = time.monotonic() + arguments.budget_s
    for name in arguments.names or _with_claims(arguments.device):
        print(f"== {name}", flush=True)
        problem = _run(name, arguments.device, deadline - time.monotonic())
        if problem is not None:
            failed.append(f"{name}: {problem}")
            print(f"   {problem}", flush=True)
    figures = results.read()
    claims = [claim for name in SCRIPTS for claim in _claims(name)]
    text = results.DOCUMENT.read_text()
    tables = results.tables(figures, claims)
    results.DOCUMENT.write_text(results.replace_table(text, tables))
    _summary(figures, failed)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *SCRIPTS], metavar="name")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=default)
    parser.add_argument("--budget-s", type=float, default=600.0, help="for all scripts together")
    parser.add_argument("--child", choices=SCRIPTS, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(name: str, device: str, seconds: float) -> str | None:
    """Run one script and keep what it measured, also of one that does not end well; the problem."""
    if seconds <= 0:
        return "skipped: the time budget is used up"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "figures.jsonl"
        command = [sys.executable, "-m", "benchmarks", "--child", name]
        command += ["--device", device, "--into", str(into)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        try:
            code = subprocess.run(command, cwd=ROOT, env=environment, timeout=seconds, check=False).returncode
            problem = None if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            problem = f"stopped after the {seconds:.0f} s that were left"
        new = results.read(into)
    results.write(results.merge_figures(results.read(), new))
    print(f"   {time.monotonic() - began:.0f} s", flush=True)
    return problem


def _measure(name: str, device: str, into: Path) -> int:
    """The child: one script; each figure is written as soon as it is there."""
    torch.set_num_threads(1)
    script = importlib.import_module(f"benchmarks.{name}")
    with into.open("w") as file:
        for figure in script.main(device):
            file.write(json.dumps(asdict(figure)) + "\n")
            file.flush()
            print("   " + _line(figure), flush=True)
    return 0


def _with_claims(device: str) -> list[str]:
    """The scripts that measure anything there."""
    return [name for name in SCRIPTS if any(device in claim.devices for claim in _claims(name))]


def _claims(name: str) -> tuple[Claim, ...]:
    claims: tuple[Claim, ...] = importlib.import_module(f"benchmarks.{name}").CLAIMS
    return claims


def _line(figure: Figure) -> str:
    if figure.value is None:
        return f"{figure.name}: {figure.note}"
    verdict = "" if figure.met is None else ", met" if figure.met else ", MISSED"
    goal = "" if figure.goal is None else f" (goal {figure.goal}{verdict})"
    return f"{figure.name}: {number(figure.value)} {figure.unit}{goal} {figure.note}"


def _summary(figures: list[Figure], failed: list[str]) -> None:
    missed = [figure.name for figure in figures if figure.met is False]
    reached = sum(figure.met is True for figure in figures)
    print(f"{reached} goals met, {len(missed)} missed {' '.join(missed)}; commit {commit()}")
    for problem in failed:
        print(f"failed: {problem}")


if __name__ == "__main__":
    raise SystemExit(main())
