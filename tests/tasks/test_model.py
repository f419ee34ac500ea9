"""Models that are fetched from a web server: the pinned bytes, unpacked safely, and the one model that is meant."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tasks.model import build_imported
from tests.corpus.download.bad_server import serving
from tests.nn.networks import lively
from tests.tiny_specs import tiny_network
from wavlm.errors import CodedError
from wavlm.execution.progress import no_progress
from wavlm.export.facts import ModelFacts
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.nn import load_model, save_model
from wavlm.pipeline.artifacts import ImportedModel
from wavlm.pipeline.garbage.notes import archives_of
from wavlm.pipeline.store import Store
from wavlm.specs import ModelArchive, ModelSpec


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return buffer.getvalue()


def fetch(content: bytes, store: Store, **changes: str) -> ImportedModel:
    """Make a model from what a server gives."""
    with serving(content) as server:
        digest = hashlib.sha256(content).hexdigest()
        fields = {"type": "https", "urls": (server.url("good"),), "sha256": digest, "format": "tar", **changes}
        artifact = ImportedModel(ModelSpec(source=ModelArchive.model_validate(fields)), "base")
        store.make(artifact, lambda out: build_imported(artifact, store, out, no_progress))
    return artifact


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder with a release in it, as an archive has it."""
    write_hf(lively(tiny_network()), tmp_path / "release" / "wavlm-tiny")
    (tmp_path / "release" / "wavlm-tiny" / "README.md").write_text("words")
    return tmp_path / "release"


def test_an_archive_becomes_a_model_and_leaves_nothing_else(release: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artifact = fetch(packed(release), store)
    made = store.path(artifact)
    assert {path.name for path in made.iterdir()} == {
        "artifact.json",
        "seal.json",
        "model.safetensors",
        "network.json",
    }
    assert load_model(made).network == tiny_network()
    assert store.facts(artifact, ModelFacts).layout == "hf"
    (archive,) = archives_of(artifact, store)
    assert (store.downloads / archive).is_file()


def test_a_file_in_fairseq_layout_is_fetched_as_it_is(tmp_path: Path) -> None:
    write_fairseq(lively(tiny_network()), tmp_path / "model.pt")
    store = Store(tmp_path / "store")
    artifact = fetch((tmp_path / "model.pt").read_bytes(), store, format="pt")
    assert store.facts(artifact, ModelFacts).layout == "fairseq"


def test_other_bytes_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(CodedError, match=r"DL_HASH: found sha256 .*, expected 0000"):
        fetch(packed(release), Store(tmp_path / "store"), sha256="0" * 64)


def test_an_archive_with_several_models_needs_to_be_told_which(release: Path, tmp_path: Path) -> None:
    save_model(lively(tiny_network(num_layers=1)), release / "other")
    store = Store(tmp_path / "store")
    with pytest.raises(
        CodedError, match=r"MODEL_UNUSABLE: expected one model in the archive, there is: other, wavlm-tiny"
    ):
        fetch(packed(release), store)
    chosen = fetch(packed(release), store, inside="other")
    assert store.facts(chosen, ModelFacts).num_layers == 1
    assert fetch(packed(release), store, inside="wavlm-tiny").key != chosen.key
    for outside in ("nothing", "../..", "/etc/passwd"):
        with pytest.raises(CodedError, match=r"MODEL_UNUSABLE: .* is not in the archive, where models are: other"):
            fetch(packed(release), store, inside=outside)


def test_an_archive_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/README.md").write_text("words")
    with pytest.raises(CodedError, match=r"MODEL_UNUSABLE: expected one model in the archive, there is: none"):
        fetch(packed(tmp_path / "release"), Store(tmp_path / "store"))
