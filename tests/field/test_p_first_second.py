"""Kind P: what recipe and machine show is said before any data work, all at once.

People reported: after hours of corpora, shards and labels the trainer refused a model to start from that is not there,
another number of classes, GPUs that the machine does not have, or a clip that is too short for a mask.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.field.recipes import HIDDEN, MFCC, ROOT, findings, run_wavlm, write_recipe
from tests.folders import make_both, read_resolved, write_project
from wavlm.errors import CodedError
from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.check import NotReadyError, find, machine
from wavlm.pipeline.check.wanted import Remark
from wavlm.pipeline.digests import cached_sha256
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import select_needed
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

LOAD_NO_TORCH = """
import builtins

load = builtins.__import__

def refuse(name, *others, **named):
    assert name.partition(".")[0] not in ("torch", "prefect", "mlflow", "faiss"), name
    return load(name, *others, **named)

builtins.__import__ = refuse
from flows.cli.main import main
main()
"""


def problems(recipe: Path, store: Path, **runtime: int) -> list[str]:
    return [str(item) for item in findings(recipe, store, **runtime) if isinstance(item, CodedError)]


def write_model(folder: Path, num_clusters: int = 10, **changes: object) -> str:
    """A model folder of the recipe's network, with changes; returns the sha256."""
    network = read_recipe(ROOT / "data_specs/recipes/demo.yaml").iterations[0].network
    save_model(WavLM(network.model_copy(update=changes), num_clusters), folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def starting_from(tmp_path: Path, folder: Path, sha256: str) -> Path:
    start = f"    start: {{folder: {folder}, sha256: '{sha256}'}}\n    network"
    return write_recipe(tmp_path, ("    network", start))


def test_a_sound_recipe_has_no_problem(tmp_path: Path) -> None:
    assert problems(write_recipe(tmp_path), tmp_path / "store") == []


def test_a_model_to_start_from_that_is_not_there_is_named(tmp_path: Path) -> None:
    recipe = starting_from(tmp_path, tmp_path / "nowhere", "0" * 64)
    (found,) = problems(recipe, tmp_path / "store")
    assert found.startswith("MODEL_UNUSABLE: iteration 1 starts from a model that is not there: no model.safetensors")
    assert f"; at {tmp_path / 'nowhere'}; " in found


def test_a_model_to_start_from_is_compared_byte_by_byte_and_field_by_field(tmp_path: Path) -> None:
    digest = write_model(tmp_path / "same", dropout=0.5, layer_drop=0.3, feature_grad_mult=0.2)
    assert problems(starting_from(tmp_path, tmp_path / "same", digest), tmp_path / "store") == []

    (found,) = problems(starting_from(tmp_path, tmp_path / "same", "0" * 64), tmp_path / "store")
    assert found.startswith(f"MODEL_UNUSABLE: found sha256 {digest}, the recipe expects 000")

    digest = write_model(tmp_path / "other", num_clusters=500, norm_first=True)
    (found,) = problems(starting_from(tmp_path, tmp_path / "other", digest), tmp_path / "store")
    assert found.startswith("START_NETWORK: ")
    assert "norm_first is True there and False in the recipe" in found


def test_a_recipe_with_other_clusters_starts_with_a_fresh_head_which_is_said(tmp_path: Path) -> None:
    """The case late-cont-k10: weights with a head for 500 clusters, or none, and a recipe with K = 10."""
    digest = write_model(tmp_path / "model", num_clusters=500)
    found = findings(starting_from(tmp_path, tmp_path / "model", digest), tmp_path / "store")
    assert not [item for item in found if isinstance(item, CodedError)]
    (said,) = [item.text for item in found if isinstance(item, Remark) and "starts from" in item.text]
    assert said.endswith("head is fresh: the weights have one for 500 clusters, the recipe has 10 clusters")


@pytest.mark.parametrize("damage", ["network.json", "model.safetensors"])
def test_a_damaged_model_to_start_from_is_one_error(damage: str, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / damage).write_bytes(b"\xff" * 40)
    digest = hashlib.sha256((tmp_path / "model/model.safetensors").read_bytes()).hexdigest()
    (found,) = problems(starting_from(tmp_path, tmp_path / "model", digest), tmp_path / "store")
    assert found.startswith("MODEL_UNUSABLE: ")


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert cached_sha256(path, tmp_path) == hashlib.sha256(b"one").hexdigest()
    stat = path.stat()
    with path.open("r+b") as file:  # the same inode, size and time: the file is not read again
        file.write(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cached_sha256(path, tmp_path) == hashlib.sha256(b"one").hexdigest()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert cached_sha256(path, tmp_path) == hashlib.sha256(b"two").hexdigest()


def test_gpus_that_the_machine_lacks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write_recipe(tmp_path)
    monkeypatch.setattr(machine, "_torch_build", lambda: "12.6")
    monkeypatch.setattr(machine, "_find_devices", lambda: [9])
    assert problems(recipe, tmp_path / "store", gpus=1) == []
    (found,) = problems(recipe, tmp_path / "store", gpus=2)
    assert found.startswith("DEVICE_MISSING: 2 GPUs are asked for, this machine has 1 that may be used; at --gpus; ")
    monkeypatch.setattr(machine, "_torch_build", lambda: "None")
    (found,) = problems(recipe, tmp_path / "store", gpus=1)
    assert found.startswith("DEVICE_MISSING: torch is a build without CUDA; ")


def test_gpus_that_do_not_compute_in_the_precision_of_a_recipe_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path, ("updates: 10\n", "updates: 10\n      precision: bf16\n"))
    monkeypatch.setattr(machine, "_torch_build", lambda: "12.6")
    monkeypatch.setattr(machine, "_find_devices", lambda: [9, 7])
    assert problems(recipe, tmp_path / "store", gpus=1) == []
    (found,) = problems(recipe, tmp_path / "store", gpus=2)
    assert found.startswith("PRECISION_MISSING: iteration 1 trains in bf16, ")
    assert "one here has 7.x; in recipe " in found
    assert found.endswith("; give `precision: fp16`, or use other GPUs")
    monkeypatch.setattr(machine, "_find_devices", lambda: [0, 0])  # the driver does not say
    assert problems(recipe, tmp_path / "store", gpus=2) == []


def test_ranks_that_do_not_divide_the_micro_batches_are_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    assert problems(recipe, tmp_path / "store", processes=2) == []
    (found,) = problems(recipe, tmp_path / "store", processes=3)
    assert found.startswith("RANKS: 4 micro-batches per update cannot be shared evenly by 3; at --processes, ")
    assert found.endswith("; choose one of 1, 2, 4")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("min_seconds: 1.0", "min_seconds: 0.2"), "shards.min_seconds"),
        (("max_crop_seconds: 3.0", "max_crop_seconds: 0.25"), "train.max_crop_seconds"),
        (("max_crop_seconds: 3.0", "max_crop_seconds: 3.0\n      mask: {length: 70}"), "shards.min_seconds"),
        (("max_crop_seconds: 3.0", "max_crop_seconds: 3.0\n      mask: {min_spans: 60}"), "shards.min_seconds"),
    ],
)
def test_clips_too_short_for_the_masks_are_refused_by_the_numbers_alone(
    change: tuple[str, str], field: str, tmp_path: Path
) -> None:
    (found,) = problems(write_recipe(tmp_path, change), tmp_path / "store")
    assert found.startswith("JOB: a clip of ")
    assert f"; at {field}, iteration 1; raise it to " in found


def test_the_length_that_is_advised_is_the_shortest_that_passes(tmp_path: Path) -> None:
    (found,) = problems(write_recipe(tmp_path, ("min_seconds: 1.0", "min_seconds: 0.2")), tmp_path / "store")
    advised = float(found.partition("raise it to ")[2].partition(",")[0])
    for seconds, is_enough in ((advised, True), (advised - 0.02, False)):
        recipe = write_recipe(tmp_path, ("min_seconds: 1.0", f"min_seconds: {seconds}"))
        assert (problems(recipe, tmp_path / "store") == []) == is_enough


def test_fewer_frames_than_clusters_are_refused_where_the_hours_are_known(tmp_path: Path) -> None:
    # 0.0001 h are 36 frames of MFCC.
    few = ("valid_fraction: 0.1", "valid_fraction: 0.1\nexpected_hours: 0.0001")
    assert problems(write_recipe(tmp_path, few), tmp_path / "store") == []
    (found,) = problems(write_recipe(tmp_path, few, ("num_clusters: 10", "num_clusters: 37")), tmp_path / "store")
    assert found.startswith("TOO_FEW_FRAMES: 0.0001 h of speech have 36 frames, ")


@pytest.mark.parametrize("make", ["missing", "file", "empty", "link"])
def test_a_folder_of_speech_that_cannot_be_read_is_named(make: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    speech = tmp_path / "speech"
    shutil.rmtree(speech)
    codes = {"missing": "FOLDER_MISSING", "file": "NOT_A_FOLDER", "empty": "CORPUS_EMPTY", "link": "FOLDER_MISSING"}
    if make == "file":
        speech.touch()
    elif make == "empty":
        speech.mkdir()
    elif make == "link":
        speech.symlink_to(tmp_path / "gone")
    (found,) = problems(recipe, tmp_path / "store")
    assert found.startswith(codes[make])
    assert f"; at {speech}; " in found


def test_a_store_that_cannot_be_written_is_named_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, store = write_recipe(tmp_path), tmp_path / "store"
    (store / "shards").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != store / "shards")
    (found,) = problems(recipe, store)
    assert found.startswith("NOT_WRITABLE: ")
    assert f"; at {store / 'shards'}; " in found
    monkeypatch.undo()
    (store / "locks").touch()
    (found,) = problems(recipe, store)
    assert found.startswith("NOT_A_FOLDER: ")
    assert f"; at {store / 'locks'}; " in found


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = machine.find_spec
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name in ("soxr", "av") else find_spec(name))
    (found,) = problems(write_recipe(tmp_path), tmp_path / "store")
    assert found.startswith("PACKAGE_MISSING: av, soxr cannot be imported; ")
    assert found.endswith("install them: pip install 'wavlm-pipeline[pipeline]'")


def test_a_scorer_that_is_missing_is_named_with_its_extra_if_a_task_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A namespace package whose parent is missing too raises in find_spec, as `pyannote.metrics` does."""
    there = machine.find_spec

    def find_spec(name: str) -> object:
        if name.startswith("pyannote."):
            raise ModuleNotFoundError(name)
        return None if name in ("jiwer", "pesq", "pystoi") else there(name)

    monkeypatch.setattr(machine, "find_spec", find_spec)
    recipe = write_recipe(tmp_path, ("iterations:", "evaluate: mine\niterations:"))
    (tmp_path / "suites").mkdir()
    suite = "name: mine\ndescription: some\nevaluations: [{}]\n"
    (tmp_path / "suites/mine.yaml").write_text(suite.format("ks-kajongg, qbe-kajongg"))
    assert not problems(recipe, tmp_path / "store")
    (tmp_path / "suites/mine.yaml").write_text(suite.format("ks-kajongg, sd-kajongg"))
    (found,) = problems(recipe, tmp_path / "store")
    assert found.startswith("PACKAGE_MISSING: pyannote.metrics cannot be imported; ")
    assert found.endswith("install them: pip install 'wavlm-pipeline[pipeline]'")
    (tmp_path / "suites/mine.yaml").write_text(suite.format("pr-festvox, sd-kajongg"))
    (found,) = problems(recipe, tmp_path / "store")
    assert found.startswith("PACKAGE_MISSING: jiwer, pyannote.metrics cannot be imported; ")
    assert found.endswith("install them: pip install 'wavlm-pipeline[evaluation,pipeline]'")


def test_a_disk_without_room_for_what_is_left_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write_recipe(tmp_path, ("valid_fraction: 0.1", "valid_fraction: 0.1\nexpected_hours: 1000"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=60 * 10**9))
    (found,) = problems(recipe, tmp_path / "store")
    # 1000 h x 3600 s x 18,900 bytes of FLAC are 68 GB; with tables, labels and checkpoints a little more.
    assert found.startswith("DISK_FULL: 68.8 GB are needed, 60.0 are free; ")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=70 * 10**9))
    assert problems(recipe, tmp_path / "store") == []


def test_a_registry_that_is_down_is_only_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = findings(write_recipe(tmp_path), tmp_path / "store")
    assert [item for item in found if isinstance(item, CodedError)] == []
    (warning,) = [item for item in found if "REGISTRY_DOWN" in str(item)]
    assert "127.0.0.1:9; `wavlm sync RECIPE` uploads later" in str(warning)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/", "http://me:pw@127.0.0.1:99999", "https://[::1"])
def test_a_registry_that_a_run_requires_and_that_is_down_ends_it_in_the_first_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (problem,) = problems(write_recipe(tmp_path), tmp_path / "store", require_registry=True)
    assert problem.startswith("REGISTRY_DOWN: no MLflow server answers")
    assert "pw" not in problem


def test_until_labels_stops_before_the_first_training(tmp_path: Path) -> None:
    artifacts = plan(read_recipe(write_recipe(tmp_path, iterations=(MFCC, HIDDEN))))
    for kind in ("codebook", "labels"):
        needed = select_needed(artifacts, kind)  # type: ignore[arg-type]
        assert [item.kind for item in needed].count(kind) == 1
        assert not any(isinstance(item, Model) for item in needed)
    assert sum(isinstance(item, Model) for item in select_needed(artifacts, "pretrain")) == 2


@pytest.mark.slow
def test_all_problems_are_said_at_once_before_any_data_work_and_without_torch(tmp_path: Path) -> None:
    changes = (("min_seconds: 1.0", "min_seconds: 0.2"), ('path: "', 'path: "/nowhere'))
    recipe = write_recipe(tmp_path, *changes)
    for command in (["check"], ["run"], ["stage", "corpus"]):
        arguments = [*command, str(recipe), "--store", str(tmp_path / "store"), "--processes", "3"]
        done = subprocess.run(
            [sys.executable, "-c", LOAD_NO_TORCH, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        codes = [line.partition(":")[0] for line in done.stderr.splitlines()]
        # A stage says what concerns it.
        assert codes == (["FOLDER_MISSING"] if command[0] == "stage" else ["FOLDER_MISSING", "JOB", "RANKS"]), (
            done.stderr
        )
        assert done.returncode == 2
        assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_check_prints_what_is_in_order_as_well(tmp_path: Path) -> None:
    done = run_wavlm("check", write_recipe(tmp_path), "--store", tmp_path / "store", "--processes", 2)
    assert done.returncode == 0, done.stderr
    assert "ok  iteration 1: 4 micro-batches per update for 2 ranks" in done.stdout
    assert f"ok  store: {tmp_path / 'store'} can be written" in done.stdout


@pytest.mark.parametrize("command", [["run"], ["stage", "pretrain"]])
def test_a_folder_that_cannot_be_resolved_does_not_hide_the_other_problems(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path, ("min_seconds: 1.0", "min_seconds: 0.2"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    arguments = [*command, str(recipe), "--store", str(tmp_path / "speech/store")]
    found = CliRunner().invoke(app, arguments).exception
    assert isinstance(found, NotReadyError)
    assert [line.partition(":")[0] for line in str(found).splitlines()] == ["FOLDER_STORE", "JOB"]


def test_a_folder_that_only_the_shards_still_need_is_looked_at(tmp_path: Path) -> None:
    recipe, store = write_project(tmp_path), Store(tmp_path / "store")
    resolved = read_resolved(recipe, store)
    corpus, shards = make_both(resolved, store)
    shutil.rmtree(store.path(shards))
    shutil.rmtree(tmp_path / "wavs")
    assert store.is_complete(corpus)
    found = find(resolved, [shards], store, Runtime())
    assert "FOLDER_MISSING" in [item.code for item in found if isinstance(item, CodedError)]
