"""What a run sets aside: evaluations whose corpus or language model cannot be had on this machine.

All else of a recipe is made. An evaluation that the gate compares by is not set aside: no version could be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavlm.errors import CodedError
from wavlm.pipeline.artifacts import Artifact, Corpus, Evaluation, Shards, build_order
from wavlm.pipeline.check import NotReadyError
from wavlm.pipeline.check.sources import find_missing, find_missing_model
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.gate import is_of_task


class LeftOutError(NotReadyError):
    """All that could be made was made. Its message lists why the rest was left out."""


@dataclass(frozen=True)
class Aside:
    """What of some artifacts can be made here, and what is missing for the others."""

    kept: tuple[Artifact, ...]
    missing: tuple[CodedError, ...]

    def refuse(self) -> None:
        """Raise LeftOutError, which lists what is missing, if anything is."""
        if self.missing:
            raise LeftOutError(self.missing)


def set_aside(artifacts: Sequence[Artifact], recipe: Recipe, store: Store) -> Aside:
    """Artifacts of a resolved recipe without evaluations that cannot be made here, and without what only those need."""
    lost = _find_lost(recipe, store)
    errors = {str(error): error for item in artifacts for error in lost.get(item.key, ())}
    return Aside(tuple(item for item in artifacts if item.key not in lost), tuple(errors.values()))


def find_left_out(recipe: Recipe, store: Store) -> frozenset[str]:
    """Names of the corpora of a resolved recipe that are set aside: nobody need read them."""
    lost = _find_lost(recipe, store)
    return frozenset(item.name for item in plan(recipe) if isinstance(item, Corpus) and item.key in lost)


def _find_lost(recipe: Recipe, store: Store) -> dict[str, Sequence[CodedError]]:
    """What is missing for each artifact that is set aside, by its key."""
    planned = plan(recipe)
    spare = {it.key for it in planned if isinstance(it, Evaluation) and _is_spare(it, recipe, store)}
    if not spare:
        return {}
    of_roles = [Corpus(spec) for spec in (*recipe.speech, *recipe.noise, *recipe.rooms)]
    others = [it for it in planned if it.key not in spare and not isinstance(it, Corpus | Shards)]
    needed = {it.key for it in build_order([*of_roles, *others])}
    missing = {
        it.corpus.key: tuple(find_missing(it.corpus.spec))
        for it in planned
        if isinstance(it, Shards) and it.corpus.key not in needed and not _is_there(it, store)
    }
    found = {it.key: _explain(it, missing) for it in planned if it.key in spare or it.key not in needed}
    return {key: errors for key, errors in found.items() if errors}


def _is_spare(evaluation: Evaluation, recipe: Recipe, store: Store) -> bool:
    metric = recipe.gate.metric
    is_judged_by = is_of_task(metric) and metric.split("/")[1] == evaluation.spec.name
    return not is_judged_by and not store.is_complete(evaluation)


def _is_there(shards: Shards, store: Store) -> bool:
    """Whether nobody need look for the corpus any more. Shards of a folder read it again."""
    return store.is_complete(shards.corpus) and (shards.corpus.spec.folder is None or store.is_complete(shards))


def _explain(artifact: Artifact, missing: Mapping[str, Sequence[CodedError]]) -> Sequence[CodedError]:
    if isinstance(artifact, Evaluation):
        corpora = dict.fromkeys(it.corpus.key for it in (*artifact.shards, *artifact.noise))
        of_corpora = [error for key in corpora for error in missing.get(key, ())]
        return (*of_corpora, *find_missing_model(artifact.spec))
    corpus = artifact.corpus if isinstance(artifact, Shards) else artifact
    return missing.get(corpus.key, ())
