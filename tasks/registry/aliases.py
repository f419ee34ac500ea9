"""Point aliases at a new version: `iteration-N`, `candidate` and, if the gate lets it, `champion`.

The verdict is written down before any alias moves. So a registration that was cut short ends as it would have: it
neither compares the version with itself, nor forgets whom it followed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tasks.registry.connection import Registry
from tasks.registry.contest import Contest
from tasks.registry.gate import Verdict, confidence_of, has_final_labels, judge, judge_by_interval
from tasks.registry.lookup import fetch_model, record_end
from tasks.registry.publish import WEIGHTS_TAG
from tasks.registry.versions import CHAMPION, VERDICT_TAG, Version, versions_of, with_metrics
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import ImportedModel, Model
from wavlm.pipeline.registration import GateFacts, read_gate, write_gate
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion, Recipe

CANDIDATE = "candidate"

_log = logging.getLogger(__name__)


def point_aliases(
    registry: Registry, version: Version, model: Model, recipe: Recipe, store: Store, out: Path
) -> GateFacts:
    """Move the aliases; `candidate` never back. `out` keeps the verdict, and why."""
    client, number = registry.client, str(version.version)
    client.set_registered_model_alias(version.name, f"iteration-{version.iteration}", number)
    versions = versions_of(registry, version.name)
    candidate = next((item for item in versions if CANDIDATE in item.aliases), None)
    if candidate is None or candidate.version <= version.version:
        client.set_registered_model_alias(version.name, CANDIDATE, number)
    champion = next((item for item in versions if CHAMPION in item.aliases), None)
    found = _recall(out, version, champion)
    if found is None:
        verdict = _judge(registry, version, champion, (model, recipe, store), out)
        found = GateFacts(
            version=version.version,
            sha256=version.tags[WEIGHTS_TAG],
            champion=champion.version if champion else None,
            is_champion=verdict.is_champion,
            reason=verdict.reason,
            gain=verdict.gain,
        )
        write_gate(out, found)
    if found.champion != version.version:
        client.set_model_version_tag(version.name, number, VERDICT_TAG, found.reason)
    if found.is_champion:
        client.set_registered_model_alias(version.name, CHAMPION, number)
        record_end(registry, _find(versions, found.champion), version)
    return found


def _recall(out: Path, version: Version, champion: Version | None) -> GateFacts | None:
    """The verdict that an attempt before has written, as long as it has moved the alias itself or nobody has."""
    found = read_gate(out)
    if found is None or (found.version, found.sha256) != (version.version, version.tags[WEIGHTS_TAG]):
        return None
    now = champion.version if champion else None
    return found if now in (found.champion, version.version) else None


def _find(versions: Sequence[Version], number: int | None) -> Version | None:
    return next((item for item in versions if item.version == number), None)


def _judge(
    registry: Registry, version: Version, champion: Version | None, made: tuple[Model, Recipe, Store], out: Path
) -> Verdict:
    model, recipe, store = made
    confidence = confidence_of(recipe)
    if champion is None or champion.version == version.version or confidence is None:
        return judge(
            recipe.gate,
            with_metrics(registry, version),
            with_metrics(registry, champion) if champion else None,
            is_final=has_final_labels(model, recipe),
        )
    with tempfile.TemporaryDirectory(dir=out, prefix=".champion.", suffix=".partial") as folder:
        try:
            fetch_model(registry, champion, Path(folder))
        except BadDataError as error:
            reason = f"{champion.reference} cannot be measured: {error}"
            return Verdict(is_champion=False, reason=f"not compared: {reason}")
        _log.info("comparing %s with the champion %s on held-out speech", version.reference, champion.reference)
        contest = Contest(
            model=model,
            recipe=recipe,
            store=store,
            champion=champion.reference,
            champion_codebook=champion.tags.get("codebook"),
            champion_dir=Path(folder),
            confidence=confidence,
            champion_keys=_find_keys(champion, recipe),
        )
        return judge_by_interval(recipe.gate, version, champion, contest.measure)


def _find_keys(champion: Version, recipe: Recipe) -> frozenset[str]:
    """The keys of the champion in the store: as it was trained, and as the recipe takes it from the registry."""
    imported = {
        ImportedModel(spec, name).key
        for name, spec in recipe.models.items()
        if isinstance(spec.source, ModelVersion)
        and (spec.source.model, spec.source.version) == (champion.name, str(champion.version))
    }
    return frozenset(imported | {champion.key})
