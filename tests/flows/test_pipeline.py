"""The whole pipeline on a tiny recipe, by the command line: made, made again, stopped, killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile

from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.rng import stream_seeds, uniforms
from wavlm.storage.locks import hold_lock

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ONE = ("--workers", 1, "--threads", 1, "--snapshot-every", 5)
Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def finished_store(tiny_recipe: Path, wavlm: Wavlm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after `wavlm run`."""
    store = tmp_path_factory.mktemp("finished") / "store"
    done = wavlm("run", tiny_recipe, "--store", store, *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    return store


def processes_of(environment: Mapping[str, str], command: bytes = b"") -> set[int]:
    """Ids of the processes that live in this environment and whose command line has this in it."""
    mark = f"HOME={environment['HOME']}\0".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes() and command in (path.parent / "cmdline").read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def updates_done(store: Path) -> int:
    """Updates that the first iteration's unfinished model has reached."""
    for path in store.glob("pretrain/.iteration1-*.partial/metrics.jsonl"):
        return len(path.read_text().splitlines())
    return 0


def start(recipe: Path, store: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    arguments = ["run", str(recipe), "--store", str(store), "--until", "pretrain"]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments, *map(str, ONE)],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def hash_sealed(store: Path) -> dict[str, str]:
    """Sha256 of each file that does not tell when or how long: all but the models' folders."""
    return {
        f"{record.parent.relative_to(store)}/{name}": entry["sha256"]
        for record in store.glob("*/*/artifact.json")
        if record.parent.parent.name != "pretrain"
        for name, entry in json.loads(record.read_text())["files"].items()
    }


def model_bytes(store: Path, iteration: int) -> bytes:
    (path,) = store.glob(f"pretrain/iteration{iteration}-*/model.safetensors")
    return path.read_bytes()


def test_a_recipe_becomes_two_registered_models(finished_store: Path, wavlm: Wavlm) -> None:
    kinds = {path.parent.parent.name for path in finished_store.glob("*/*/artifact.json")}
    assert kinds == {
        "corpus", "shards", "codebook", "labels", "mixtures", "pretrain", "scores", "export", "register",
    }  # fmt: skip
    listed = wavlm("models", "list", "--store", finished_store).stdout
    assert [line.split()[:2] for line in listed.splitlines()[1:] if line] == [
        ["wavlm-tiny", "2"],
        ["wavlm-tiny", "1"],
    ]


def test_a_second_run_only_looks(
    finished_store: Path, wavlm: Wavlm, tiny_recipe: Path, environment: Mapping[str, str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_store.rglob("*") if path.is_file()}
    done = wavlm("run", tiny_recipe, "--store", finished_store)
    assert done.returncode == 0
    assert "masked accuracy" in done.stdout
    _, after_run = done.stdout.split("What to try next")
    advice, first = after_run.split("Look at these first")
    page, viewer, heard = (line.strip() for line in first.split("\n")[1:-1])
    assert (finished_store / page.partition("  ")[0]).is_file()
    assert (finished_store / heard.partition("  ")[0]).is_dir()
    for command in [*advice.split("\n")[1:-1], viewer]:
        assert shutil.which(command.split()[0], path=environment["PATH"]), command
    after = {path: path.stat().st_mtime_ns for path in finished_store.rglob("*") if path.is_file()}
    assert before == after
    assert not processes_of(environment)


def test_listen_writes_what_the_first_mixing_iteration_hears(
    finished_store: Path, tiny_recipe: Path, wavlm: Wavlm, tmp_path: Path
) -> None:
    differ, drawn = [], []
    for epoch in range(3):
        listen_dir = tmp_path / str(epoch)
        done = wavlm("listen", tiny_recipe, listen_dir, "--store", finished_store, "--epoch", str(epoch))
        assert done.returncode == 0, done.stderr
        for path in sorted(listen_dir.glob("*-clean.wav")):
            before, rate_hz = soundfile.read(path)
            after, _ = soundfile.read(path.with_name(path.name.replace("-clean", "-mixed")))
            assert rate_hz == 16000
            assert before.shape == after.shape
            differ.append(bool((before != after).any()))
            key = path.name[len("00-") : -len("-clean.wav")]
            drawn.append(bool(uniforms(stream_seeds(0, ("sample", epoch), [key]), 2)[0, 1] < 0.5))
    assert set(differ) == {False, True}
    assert differ == drawn  # the number behind that of the crop, against the mix's probability


def test_verify_finds_a_flipped_bit(finished_store: Path, wavlm: Wavlm) -> None:
    assert wavlm("verify", "--store", finished_store).returncode == 0
    (path,) = finished_store.glob("codebook/mfcc-*/centroids.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        done = wavlm("verify", "--store", finished_store, "--only", "codebook/")
    finally:
        path.write_bytes(whole)
    assert done.returncode == 65
    assert str(path) in done.stdout


@pytest.mark.full
def test_stopped_then_killed_then_finished_gives_the_same_model(
    finished_store: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    environment: Mapping[str, str],
) -> None:
    """At last the temporary server is killed as well: the run brings another, and succeeds."""
    recipe, store = tiny_recipe.with_name("tiny-first.yaml"), tmp_path / "store"

    stopped = start(recipe, store, environment)
    wait_until(lambda: updates_done(store) >= 7)
    stopped.send_signal(signal.SIGTERM)
    _, complaint = stopped.communicate(timeout=LIMIT_SECONDS)
    assert stopped.returncode == 75, complaint.decode()
    assert b"STOPPED" in complaint
    assert not processes_of(environment)
    reached = updates_done(store)
    assert 7 <= reached < 40

    killed = start(recipe, store, environment)
    wait_until(lambda: updates_done(store) >= reached + 3)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_until(lambda: not processes_of(environment), "the end of all that the killed parent started")
    assert updates_done(store) < 40

    last = start(recipe, store, environment)
    wait_until(lambda: processes_of(environment, b"wavlm.execution.supervisor"))
    (server,) = processes_of(environment, b"tasks.orchestration.server")
    os.kill(server, signal.SIGKILL)
    _, complaint = last.communicate(timeout=LIMIT_SECONDS)
    assert last.returncode == 0, complaint.decode()
    assert hash_sealed(store).items() <= hash_sealed(finished_store).items()
    assert model_bytes(store, 1) == model_bytes(finished_store, 1)
    (curve,) = store.glob("pretrain/iteration1-*/metrics.jsonl")
    updates = [json.loads(line)["update"] for line in curve.read_text().splitlines()]
    assert updates == list(range(1, 41))


def test_a_locked_artifact_is_exit_code_77(finished_store: Path, tiny_recipe: Path, wavlm: Wavlm) -> None:
    (codebook,) = finished_store.glob("codebook/mfcc-*")
    key = codebook.name.rpartition("-")[2]
    with hold_lock(finished_store / "locks" / f"codebook-{key}.lock", "it"):
        where = ("--redo", "--store", finished_store, "--wait", 0)
        done = wavlm("stage", "codebook", tiny_recipe, "--iteration", 1, *where)
    assert done.returncode == 77, done.stderr
    assert codebook.is_dir()
