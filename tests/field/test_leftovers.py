"""People reported: after kill -9 while a model was written, `.tmpSSPEr6`, half a model, was sealed into the artifact.

It is the temporary file of safetensors. A stage states the files that it makes: known temporary files are removed
before a folder is sealed, and any other file is an error that names it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mixing.test_conversations import make_spec
from tests.tasks.conftest import build, recipe_of
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import (
    KINDS,
    Artifact,
    Evaluation,
    Finetune,
    ImportedModel,
    Model,
    Shards,
    Simulation,
    SystemRegistration,
    build_order,
)
from wavlm.pipeline.plan import plan
from wavlm.pipeline.sealing import list_files
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.specs import EvaluationSpec, GateSpec, ModelArchive, ModelSpec
from wavlm.specs.evaluation import FbankBaseline, FitSpec
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.heads import PooledLinearHead
from wavlm.specs.splits import BySpeaker
from wavlm.specs.stages import FinetuneStage
from wavlm.specs.tasks import KeywordSpotting
from wavlm.storage.facts import Facts

# The kernel ends the process in the middle of a write, as kill -9 does at the worst moment.
KILLED_WRITER = """
import resource, signal, sys
from pathlib import Path
from tests.tiny_specs import tiny_network
from wavlm.nn import WavLM, save_model
network = WavLM(tiny_network(), num_clusters=5)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
save_model(network, Path(sys.argv[1]))
"""


def model() -> Model:
    return next(item for item in plan(recipe_of(GateSpec())) if isinstance(item, Model))


def filled_store(root: Path, artifact: Artifact) -> Store:
    """A store with all that an artifact is made from."""
    store = Store(root)
    for item in build_order([artifact]):
        if item != artifact:
            store.make(item, lambda out, item=item: build(item, store, out))  # type: ignore[misc]
    return store


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size ends a process")
def test_half_a_model_of_a_killed_writer_is_not_sealed(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "store", model())

    def is_killed(out: Path) -> Facts:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_WRITER, str(out)], check=False, cwd=Path(__file__).parents[2]
        )
        assert done.returncode == -signal.SIGXFSZ
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.make(model(), is_killed)
    left = list_files(store.partial_folder(model()))
    assert any(name.startswith(".tmp") for name in left), left  # else safetensors has another way, and so must we
    folder = store.make(model(), lambda out: build(model(), store, out))
    assert list_files(folder) == ["metrics.jsonl", "model.safetensors", "network.json"]
    assert verify(folder) == []


MODEL_OF_OTHERS = ImportedModel(
    ModelSpec(source=ModelArchive(type="https", urls=("https://a/b.tar",), sha256="a" * 64, format="tar"))
)


def _evaluation(shards: Shards) -> Evaluation:
    spec = EvaluationSpec(
        name="words",
        description="",
        task=KeywordSpotting(type="ks"),
        corpora=(shards.corpus.spec,),
        split=BySpeaker(type="speakers"),
        head=PooledLinearHead(type="pooled_linear"),
        fit=FitSpec(learning_rates=(1e-3,), updates=1, batch=1, dev_every=1),
    )
    return Evaluation(spec, FbankBaseline(type="fbank"), (shards,))


def _system(shards: Shards) -> Finetune:
    spec = FinetuneSpec(
        name="words",
        description="",
        registry_name="words",
        task=KeywordSpotting(type="ks"),
        corpora=(shards.corpus.spec,),
        split=BySpeaker(type="speakers"),
        head=PooledLinearHead(type="pooled_linear"),
        stages=(FinetuneStage(updates=1, batch_seconds=1, group_seconds=1, peak_lr=1e-3, frozen="all", dev_every=1),),
    )
    return Finetune(spec, FbankBaseline(type="fbank"), (shards,))


@pytest.mark.parametrize("kind", KINDS)
def test_temporary_files_are_removed_wherever_they_lie(tmp_path: Path, kind: str) -> None:
    planned = plan(recipe_of(GateSpec()))
    shards = next(item for item in planned if isinstance(item, Shards))
    system = _system(shards)
    talks = Simulation(make_spec(), (shards,))
    others = [MODEL_OF_OTHERS, _evaluation(shards), system, SystemRegistration("words", system), talks]
    artifact = next(item for item in [*planned, *others] if item.kind == kind)
    store = filled_store(tmp_path / "store", artifact) if kind != "model" else Store(tmp_path / "store")
    names = (
        ".tmpAbCdEf",
        ".model.safetensors.x1.partial",
        "hf/.tmpx",
        ".nfs0001",
        ".step-3.partial/.tmpx",
        ".a.sha256",
    )

    def leave(out: Path) -> Facts:
        for name in names:
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text("half")
        return build(artifact, store, out) if kind not in ("export", "model", "evaluation") else Facts()

    folder = store.make(artifact, leave)
    assert not {Path(name).name for name in list_files(folder)} & {Path(name).name for name in names}
    assert not (folder / ".step-3.partial").exists()


@pytest.mark.parametrize(
    "name", ["model.old", "deep/er/model.safetensors", ".hidden", "job.json", "model.safetensors.bak"]
)
def test_a_file_that_no_stage_makes_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    store = filled_store(tmp_path / "store", model())

    def stray(out: Path) -> Facts:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("words")
        return build(model(), store, out)

    with pytest.raises(BadDataError, match=rf"FILE_STRAY: found {name}, .*; at .*; move it away, then run again"):
        store.make(model(), stray)
    assert not store.is_complete(model())
    (store.partial_folder(model()) / name).unlink()
    store.make(model(), lambda out: build(model(), store, out))


def test_what_an_archive_holds_is_kept_whatever_its_name(tmp_path: Path) -> None:
    corpus = plan(recipe_of(GateSpec()))[0]
    store = Store(tmp_path)

    def unpack(out: Path) -> Facts:
        for name in ("audio/.tmpfiles/one.wav", "audio/.hidden", "audio/.x.sha256"):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text("words")
        return build(corpus, store, out)

    assert list_files(store.make(corpus, unpack)) == ["audio/.hidden", "audio/.tmpfiles/one.wav", "audio/.x.sha256"]
