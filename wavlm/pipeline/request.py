"""A recipe that evaluates one model on one suite, written into the store: what `wavlm evaluate` runs.

It is a recipe as any other, without iterations. So it is checked, resolved, run, continued and kept as any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from wavlm.errors import CodedError, UsageError
from wavlm.export.errors import ImportRefusedError
from wavlm.export.sources import find_model, read_model_network
from wavlm.pipeline.check import NotReadyError
from wavlm.pipeline.check.sources import find_missing, find_missing_model
from wavlm.pipeline.imported import place_of
from wavlm.pipeline.store import Store
from wavlm.specs import BaselineSpec, CorpusSpec, EvaluationSpec, FinetuneSpec, ModelSpec, NetworkSpec, SuiteSpec
from wavlm.specs.evaluation import FbankBaseline, MfccBaseline, RandomBaseline
from wavlm.specs.identity import key_of
from wavlm.specs.lookup import find_file, shipped_specs
from wavlm.specs.system_file import MODEL, SYSTEM
from wavlm.specs.yaml import read_model, read_network
from wavlm.storage.files import write_text

FOLDER = "evaluations"  # of a store: recipes that evaluate
FINETUNES = "finetunes"  # of a store: recipes that fine-tune
BASELINES = ("fbank", "mfcc", "random:NETWORK")
MOST_LETTERS = 64  # of the name of a recipe
_REFERENCE = re.compile(r"(?:models:/)?(?P<name>[^/:@\s]+)(?:@(?P<alias>[A-Za-z][\w-]*)|[:/](?P<version>[1-9]\d*))")


def write_request(model: str, suite: SuiteSpec, store: Store, network: NetworkSpec | None = None) -> Path:
    """Write the recipe that evaluates a model, and references beside it; return its path.

    The same request gives the same file. A baseline has no references beside it.
    model: a folder or file that `wavlm.load` reads, NAME@ALIAS or NAME:VERSION of the registry, or a baseline:
    `fbank`, `mfcc`, or `random:NETWORK`. network: that of a registered model.
    Raises UsageError (SUBJECT_UNKNOWN) for anything else.
    """
    baseline = _read_baseline(model)
    source = None if baseline else _source_of(model)
    called = model
    references = suite.references
    suite = suite.model_copy(update={"references": {}})
    if baseline:
        suite = suite.model_copy(update={"baselines": (baseline,)})
    elif source and source["type"] == "folder":
        network = read_model_network(find_model(Path(source["path"])))
        called = Path(source["path"]).stem
    name = _to_name(called)
    models: dict[str, JsonValue] = {}
    if source:
        models[name] = {"source": {**source}, "network": network.model_dump(mode="json") if network else None}
        models |= _beside(name, source.get("path"), references)
        suite = suite.model_copy(update={"baselines": tuple(_with_network(it, network) for it in suite.baselines)})
    fields = {
        "name": _name_request(suite.name, model, called),
        "description": f"Evaluates {model} on the suite {suite.name}.",
        "registry_name": "unused",
        "shards": {"min_seconds": 0.1, "max_seconds": 3600.0},
        "models": models,
        "evaluate": suite.model_dump(mode="json"),
    }
    return _write(fields, store, FOLDER)


def write_finetune_request(
    specs: Sequence[FinetuneSpec], named: str, store: Store, network: NetworkSpec | None = None
) -> Path:
    """Write the recipe that fine-tunes systems, each of which goes on from the one before; return its path.

    The same request gives the same file. named: what the first one stands on, as of `write_request`, or the name of a
    file of data_specs/models; or the system that it goes on from. network: that of a registered model.
    Raises UsageError (SUBJECT_UNKNOWN) for anything else.
    """
    first, last = specs[0], specs[-1]
    baseline = None if first.system else _read_baseline(named)
    kind = SYSTEM if first.system else MODEL
    if first.system:
        models: dict[str, object] = {kind: {"source": dict(_source_of(named)), "part": "system"}}
    else:
        models = {} if baseline else {kind: _model_fields(named, network)}
    changed: dict[str, object] = {"baseline": baseline, kind: "" if baseline else kind}
    fields = {
        "name": _name_request(last.name, named, Path(named).stem if Path(named).expanduser().exists() else named),
        "description": f"Fine-tunes {last.name} on {named}.",
        "registry_name": "unused",
        "shards": {"min_seconds": 0.1, "max_seconds": 3600.0},
        "models": models,
        "finetune": [it.model_dump(mode="json") for it in (first.model_copy(update=changed), *specs[1:])],
    }
    return _write(fields, store, FINETUNES)


def _model_fields(model: str, network: NetworkSpec | None) -> dict[str, object]:
    """The fields of a model of a recipe: a shipped spec, or a place or a version, written out."""
    shipped = find_file((shipped_specs() / "models",), model)
    if shipped is not None and not Path(model).exists():
        return read_model(shipped).model_dump(mode="json")
    source = _source_of(model)
    if source["type"] == "folder":
        network = read_model_network(find_model(Path(source["path"])))
    return {"source": dict(source), "network": network and network.model_dump(mode="json")}


def _to_name(called: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", called.lower()).strip("-_")[-40:].strip("-_") or "model"


def _name_request(asked: str, model: str, called: str) -> str:
    """A name that no request for another model has: two of them may run at once, and each reads its file again.

    Folders of models have the same name often, such as `hf`, so their place is a part of it.
    """
    name, path = f"{asked}-{_to_name(called)}", Path(model).expanduser()
    if called == model and len(name) <= MOST_LETTERS:
        return name
    digest = key_of(str(path.absolute()) if path.exists() else model)[:8]
    return f"{name[: MOST_LETTERS - 9]}-{digest}"


def _write(fields: Mapping[str, object], store: Store, folder: str) -> Path:
    path = store.root / folder / f"{fields['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    return path


def set_missing_aside(suite: SuiteSpec) -> tuple[SuiteSpec, list[CodedError]]:
    """The evaluations of a suite whose corpora and language models can be had here, and what is missing for the others.

    Raises NotReadyError, which lists all of it, if none can be run.
    """
    missing = {spec: list(find_missing(spec)) for it in suite.evaluations for spec in dict.fromkeys(_corpora_of(it))}
    models = {it.name: list(find_missing_model(it)) for it in suite.evaluations}
    ready = tuple(it for it in suite.evaluations if not any((*map(missing.get, _corpora_of(it)), models[it.name])))
    problems = [error for errors in (*missing.values(), *models.values()) for error in errors]
    if not ready:
        raise NotReadyError(problems)
    return suite.model_copy(update={"evaluations": ready}), problems


def _corpora_of(spec: EvaluationSpec) -> tuple[CorpusSpec, ...]:
    simulated = (*spec.simulation.corpora, *spec.simulation.noise, *spec.simulation.rooms) if spec.simulation else ()
    return (*spec.corpora, *spec.noise, *simulated)


def set_absent_aside(suite: SuiteSpec) -> tuple[SuiteSpec, list[str]]:
    """The suite with the references whose files are on this machine or are fetched; a line on the others."""
    absent = {name: place_of(it.folder) for name, it in suite.references.items() if it.folder and not _is_there(it)}
    there = {name: it for name, it in suite.references.items() if name not in absent}
    where = ", ".join(f"{name} (no model at {place})" for name, place in absent.items())
    lines = [f"no rows for {where}; their files in data_specs/models say where to get them"] if absent else []
    return suite.model_copy(update={"references": there}), lines


def _beside(name: str, path: str | None, references: Mapping[str, ModelSpec]) -> dict[str, JsonValue]:
    """The references under names that the model which is asked for does not have; not that model itself."""
    others = {key: it for key, it in references.items() if not (it.folder and str(place_of(it.folder)) == path)}
    return {
        f"released-{key}" if key == name else key: it.model_dump(mode="json", exclude_none=True)
        for key, it in others.items()
    }


def _is_there(spec: ModelSpec) -> bool:
    try:
        return spec.folder is None or bool(find_model(place_of(spec.folder)))
    except ImportRefusedError:
        return False


def _with_network(baseline: BaselineSpec, network: NetworkSpec | None) -> BaselineSpec:
    """A random network of the model that is asked for, and not of each reference."""
    if baseline.type != "random" or baseline.network is not None or network is None:
        return baseline
    return baseline.model_copy(update={"network": network})


def reference_of(model: str) -> str | None:
    """NAME@ALIAS or NAME:VERSION of the registry that a text names; None for paths and baselines."""
    if Path(model).exists() or _is_baseline(model):
        return None
    found = _REFERENCE.fullmatch(model)
    if found is None:
        return None
    return f"{found['name']}@{found['alias']}" if found["alias"] else f"{found['name']}:{found['version']}"


def _is_baseline(model: str) -> bool:
    return model in ("fbank", "mfcc") or model.startswith("random:")


def _read_baseline(model: str) -> FbankBaseline | MfccBaseline | RandomBaseline | None:
    if not _is_baseline(model) or Path(model).exists():
        return None
    if model == "fbank":
        return FbankBaseline(type="fbank")
    if model == "mfcc":
        return MfccBaseline(type="mfcc")
    name = model.removeprefix("random:")
    found = find_file((shipped_specs() / "networks",), name)
    return RandomBaseline(type="random", network=read_network(found or Path(name)))


def _source_of(model: str) -> dict[str, str]:
    path = Path(model).expanduser()
    if path.exists():
        return {"type": "folder", "path": str(path.absolute())}
    reference = reference_of(model)
    if reference is None:
        raise UsageError(
            "SUBJECT_UNKNOWN",
            f"{model} is no file or folder, no NAME@ALIAS or NAME:VERSION, and no baseline ({', '.join(BASELINES)}); "
            "in the command; correct it, or see `wavlm models list`",
        )
    name, sign, part = max(reference.rpartition("@"), reference.rpartition(":"), key=lambda found: len(found[0]))
    return {"type": "registry", "model": name, "alias" if sign == "@" else "version": part}
