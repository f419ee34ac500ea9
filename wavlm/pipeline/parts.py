"""What a model achieved on each corpus and each language, and how much of each it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from wavlm.labels.facts import LabelsFacts, Quality
from wavlm.pipeline.artifacts import Labels, Model, Shards
from wavlm.pipeline.curves import Curve, read_curves
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs.sampling import name_metric


@dataclass(frozen=True)
class PartFigures:
    """Figures of one corpus or one language of the speech of a model; None: not measured, or no longer in the store."""

    kind: Literal["corpus", "language"]
    name: str
    recordings: int | None
    rejected: int | None  # recordings that are bad
    train_hours: float | None
    heard_hours: float | None  # trained on, repeated ones counted each time
    valid_hours: float | None
    valid_loss: float | None
    masked_accuracy: float | None
    pnmi: float | None  # of the labels

    @property
    def times_heard(self) -> float | None:
        """How often each hour was trained on, on average."""
        return self.heard_hours / self.train_hours if self.heard_hours is not None and self.train_hours else None


def read_parts(model: Model, store: Store) -> tuple[PartFigures, ...]:
    """Corpora in the order of the model, then languages by their hours. None where there is one corpus or language."""
    curves = read_curves(store.path(model))
    packed = {item: store.facts(item, ShardsFacts) for item in model.shards if store.is_complete(item)}
    corpora = [_read_corpus(item, packed.get(item), model, store, curves) for item in model.shards]
    languages = sorted(_read_languages(packed, model, store, curves), key=lambda item: -(item.train_hours or 0.0))
    return (*(corpora if len(corpora) > 1 else ()), *(languages if len(languages) > 1 else ()))


def _read_corpus(
    shards: Shards, facts: ShardsFacts | None, model: Model, store: Store, curves: Mapping[str, Curve]
) -> PartFigures:
    labels = next((item for item in model.labels if item.shards == shards), None)
    quality = store.facts(labels, LabelsFacts).quality if labels and store.is_complete(labels) else None
    name = shards.corpus.name
    return PartFigures(
        kind="corpus",
        name=name,
        recordings=facts.recordings if facts else None,
        rejected=sum(facts.rejected.values()) if facts else None,
        train_hours=facts.train_hours if facts else None,
        heard_hours=_heard(curves, f"corpus/{name}"),
        valid_hours=facts.valid_hours if facts else None,
        valid_loss=_last(curves, f"valid/{name}/loss"),
        masked_accuracy=_last(curves, f"valid/{name}/masked_accuracy"),
        pnmi=quality.pnmi if quality and quality.num_frames else None,
    )


def _read_languages(
    packed: Mapping[Shards, ShardsFacts], model: Model, store: Store, curves: Mapping[str, Curve]
) -> Iterator[PartFigures]:
    """One for each language of the corpora that are there."""
    quality = dict(_read_quality(model.labels, store))
    for name in dict.fromkeys(name for facts in packed.values() for name in facts.languages):
        found = [facts.languages[name] for facts in packed.values() if name in facts.languages]
        measured = name_metric(name)
        yield PartFigures(
            kind="language",
            name=name,
            recordings=sum(item.recordings for item in found),
            rejected=sum(item.rejected for item in found),
            train_hours=sum(item.train_hours for item in found),
            heard_hours=_heard(curves, f"language/{measured}"),
            valid_hours=sum(item.valid_hours for item in found),
            valid_loss=_last(curves, f"valid_language/{measured}/loss"),
            masked_accuracy=_last(curves, f"valid_language/{measured}/masked_accuracy"),
            pnmi=quality.get(name),
        )


def _read_quality(labels: tuple[Labels, ...], store: Store) -> Iterator[tuple[str, float]]:
    """PNMI of the labels of each language, over corpora weighted by frames."""
    found: dict[str, list[Quality]] = {}
    for item in labels:
        facts = store.facts(item, LabelsFacts) if store.is_complete(item) else None
        for name, quality in facts.quality_by_language.items() if facts else ():
            found.setdefault(name, []).append(quality)
    for name, qualities in found.items():
        frames = sum(quality.num_frames for quality in qualities)
        if frames:
            yield name, sum(quality.pnmi * quality.num_frames for quality in qualities) / frames


def _heard(curves: Mapping[str, Curve], name: str) -> float | None:
    seconds = _last(curves, f"heard/{name}")
    return None if seconds is None else seconds / 3600


def _last(curves: Mapping[str, Curve], name: str) -> float | None:
    return curves[name].last if name in curves else None
