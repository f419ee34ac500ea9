"""Every field of every spec and artifact is a part of its key, or stands in a list here with its reason."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields

import pytest

import wavlm.pipeline.artifacts as artifacts_module
import wavlm.specs
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import KINDS, Artifact, Corpus, Evaluation, Finetune, ImportedModel
from wavlm.specs import Spec
from wavlm.specs.identity import canonical, key_of

OF_MANIFESTS = (
    "ListedLayout",
    "KaldiLayout",
    "EspnetLayout",
    "LhotseLayout",
    "NemoLayout",
    "FairseqLayout",
    "TableLayout",
)
# Fields that change no byte of what is made.
FREE_FIELDS = {
    # The digest says which bytes; where it comes from and is noted says not.
    "HttpsSource": {"urls", "size_bytes", "published_gigabytes", "digest_from", "digests"},
    "AptSource": {"urls", "size_bytes"},
    # Corpora and shards are artifacts of their own; the rest is for people and tables.
    "EvaluationSpec": {"corpora", "description", "deviation", "noise", "protocol", "reality", "shards", "simulation"},
    "FinetuneSpec": {
        *("baseline", "corpora", "description", "model", "noise", "protocol", "reality", "registry_name", "rooms"),
        *("system", "simulation"),
        "shards",
    },
    # The content is digested; a revision only asks for a new look; the list is a place, its sizes only decide refits.
    "FolderSource": {"path", "revision", "generations", "generation_bytes"},
    "CorpusSpec": {
        "description",
        "homepage",
        "license",
        "citation",
        "expected_hours",
        "gated",
        "max_left_out",
        "access",
        "keep",
        "published_gigabytes",
    },
    **{name: {"max_left_over_rows"} for name in ("GigaspeechLayout", "MlsLayout", "VoxpopuliLayout")},  # bounds
    **{name: {"max_left_over_rows"} for name in ("CommonVoiceLayout", "CovostLayout", "VoxcelebLayout")},
    "FluentCommandsLayout": {"max_left_over_rows"},
    "KaldiTurnsLayout": {"audio_root", "max_left_over_rows", "max_without_row"},
    "SimulationSpec": {"description"},
    "LibrilightLayout": {"max_without_json"},
    "GenericLayout": {"max_left_over_rows", "max_without_row"},  # bounds, above which nothing is made at all
    **{name: {"audio_root", "max_left_over_rows", "max_without_row"} for name in OF_MANIFESTS},  # files there count
    "HuggingfaceLayout": {"max_left_over_rows"},
    # A Codebook holds the shards of these corpora, of the generation to fit on.
    **{
        name: {"speech", "refit"}
        for name in ("CodebookSpec", "RandomProjectionSpec", "MultiCodebookSpec", "SampledSpec")
    },
    "ExternalLabelsSpec": {"file"},  # the digest says which labels
    "MixSpec": {"name"},
    "StartSpec": {"folder", "model"},  # the digest says which weights; a Model holds the model that it starts from
    "HiddenFeatures": {"model"},  # a Codebook holds its teacher
    "ArpaModel": {"path", "words"},  # digests say which language model, and which words
    "ModelFolder": {"path"},  # the content says which model
    "ModelArchive": {"urls", "size_bytes"},
    "ModelVersion": {"alias"},  # version and digest say which model
    # The network is what it is; what stands in is a model of its own.
    "ModelSpec": {"description", "homepage", "license", "citation", "trained_on", "network", "first"},
    "TrainSpec": {"valid_every", "log_every"},  # change the curve alone
    "ImportedModel": {"called"},  # its name in a recipe
    "Model": {"mixtures", "iteration"},  # what it is validated on, and its place in a recipe
}


def subclasses(base: type) -> Iterator[type]:
    for found in base.__subclasses__():
        yield found
        yield from subclasses(found)


def spec_classes() -> list[type[Spec]]:
    for module in pkgutil.walk_packages(wavlm.specs.__path__, "wavlm.specs."):
        importlib.import_module(module.name)
    return sorted(set(subclasses(Spec)), key=lambda spec: spec.__name__)


SPEC_FIELDS = [(spec, name) for spec in spec_classes() for name in spec.model_fields]
ARTIFACTS = [made for made in subclasses(Artifact) if made.__module__ == artifacts_module.__name__]
ARTIFACT_FIELDS = [(made, item.name) for made in ARTIFACTS for item in fields(made)]


def name_of(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("spec", "field"), SPEC_FIELDS, ids=name_of)
def test_another_value_of_a_spec_field_is_another_key_or_the_field_is_listed_as_free(
    spec: type[Spec], field: str
) -> None:
    """Values are strings whatever the field's type is: a key is made of values that nobody checks again."""
    values = {name: f"some {name}" for name in spec.model_fields}
    one, other = (
        spec.model_construct(**{**values, field: value})  # type: ignore[arg-type]
        for value in ("a value", "another value")
    )
    is_free = field in FREE_FIELDS.get(spec.__name__, ())
    assert (key_of(canonical(one)) == key_of(canonical(other))) == is_free


@pytest.mark.parametrize(("artifact", "field"), ARTIFACT_FIELDS, ids=name_of)
def test_another_value_of_an_artifact_field_is_another_key_or_the_field_is_listed_as_free(
    artifact: type[Artifact], field: str
) -> None:
    values = {item.name: f"some {item.name}" for item in fields(artifact)}
    one, other = (artifact(**{**values, field: value}) for value in ("a value", "another value"))
    is_free = field in FREE_FIELDS.get(artifact.__name__, ())
    assert (key_of(one.identity) == key_of(other.identity)) == is_free
    if artifact not in (Corpus, ImportedModel, Evaluation, Finetune):  # whose spec says whether its key is known
        assert (one.key == other.key) == is_free


@pytest.mark.parametrize("spec", spec_classes(), ids=name_of)
def test_a_spec_inside_another_spec_or_a_tuple_is_a_part_of_the_key(spec: type[Spec]) -> None:
    values = {name: f"some {name}" for name in spec.model_fields}
    kept = next((name for name in spec.model_fields if name not in FREE_FIELDS.get(spec.__name__, ())), None)
    assert kept is not None
    one, other = (
        spec.model_construct(**{**values, kept: value})  # type: ignore[arg-type]
        for value in ("a value", "another value")
    )
    assert canonical((one,)) != canonical((other,))
    outer = wavlm.specs.StartSpec
    assert canonical(outer.model_construct(sha256=one)) != canonical(outer.model_construct(sha256=other))  # type: ignore[arg-type]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=name_of)
def test_kind_and_format_are_parts_of_every_key(artifact: type[Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    def identity() -> dict[str, object]:
        return dict(artifact(**{item.name: f"some {item.name}" for item in fields(artifact)}).identity)

    before = identity()
    assert before["kind"] == artifact.kind
    monkeypatch.setattr(artifact, "format", artifact.format + 1)
    assert identity() != before


def test_an_artifact_inside_an_artifact_counts_with_its_key_alone() -> None:
    inner = artifacts_module.Export("a model")  # type: ignore[arg-type]
    assert artifacts_module.Export(inner).identity["model"] == inner.key  # type: ignore[arg-type]


def test_kinds_are_those_of_the_artifacts_and_no_two_share_one() -> None:
    assert sorted(made.kind for made in ARTIFACTS) == sorted(KINDS)


def test_free_fields_exist() -> None:
    known = {(owner.__name__, name) for owner, name in [*SPEC_FIELDS, *ARTIFACT_FIELDS]}
    assert {(owner, name) for owner, names in FREE_FIELDS.items() for name in names} <= known


def test_how_to_run_has_no_name_that_a_spec_has() -> None:
    """Else a reader could not tell which of both changes a key."""
    names = {name for _, name in SPEC_FIELDS}
    assert not names & set(Runtime.model_fields)
