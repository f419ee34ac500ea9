"""Split examples into what heads are fitted on, what they are chosen by, and what is scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.rng import seed_for
from wavlm.specs.splits import ByExample, ByPart, BySpeaker, Folds, SplitSpec

FEWEST_FOLDS = 3  # one is scored, one chooses, one is for training


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of examples."""

    name: str  # of the fold; empty if there is one split
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    num_short: int = 0  # examples that would be in the train part if they were not too short


def split_examples(
    examples: Sequence[Example],
    spec: SplitSpec,
    most: int | None,
    class_of: Callable[[Example], str],
    *,
    is_trained: bool = True,
) -> tuple[Split, ...]:
    """The splits of an evaluation; several only for cross-validation. The same input gives the same splits.

    most: examples per set at most, chosen by their keys. `class_of`: the class that `ByExample` keeps shares of.
    is_trained: False leaves what is neither dev nor test out.

    Raises BadDataError (SPLIT_EMPTY) that names what there is if one of the sets would be empty.
    """
    if isinstance(spec, Folds):
        splits = _fold(examples, spec)
    else:
        chosen = _by_part(examples, spec) if isinstance(spec, ByPart) else _by_hash(examples, spec, class_of)
        train, dev, test = (tuple(item for item in examples if item.key in keys) for keys in chosen)
        splits = [Split("", train, dev, test)]
    cut = tuple(Split(it.name, _keep(it.train, most), _keep(it.dev, most), _keep(it.test, most)) for it in splits)
    if not is_trained:
        cut = tuple(replace(it, train=()) for it in cut)
    for split in cut:
        _require_some(split, examples, spec, is_trained=is_trained)
    return cut


def _by_part(examples: Sequence[Example], spec: ByPart) -> list[set[str]]:
    train, dev, test = (
        [item for item in examples if item.part in names] for names in (spec.train, spec.dev, spec.test)
    )
    if spec.dev_speakers is not None:
        names = sorted({_speaker(item) for item in train}, key=lambda name: (seed_for(0, "split", name), name))
        held = set(names[: max(1, round(spec.dev_speakers * len(names)))])
        dev = [item for item in train if _speaker(item) in held]
        train = [item for item in train if _speaker(item) not in held]
    return [{item.key for item in part} for part in (train, dev, test)]


def _by_hash(
    examples: Sequence[Example], spec: BySpeaker | ByExample, class_of: Callable[[Example], str]
) -> list[set[str]]:
    """Draw whole speakers, or single examples of each class: in the order of their hashes, test first, then dev."""
    member: Callable[[Example], str] = _speaker
    if isinstance(spec, BySpeaker):
        groups = {"": sorted({_speaker(item) for item in examples})}
    else:
        of_class: dict[str, set[str]] = defaultdict(set)
        for item in examples:
            of_class[class_of(item)].add(_content(item))
        groups, member = {name: sorted(found) for name, found in of_class.items()}, _content
    role: dict[str, int] = {}
    for names in groups.values():
        ordered = sorted(names, key=lambda name: (seed_for(spec.seed, "split", name), name))
        num_test, num_dev = (_count(share, len(ordered)) for share in (spec.test, spec.dev))
        for place, name in enumerate(ordered):
            role[name] = 2 if place < num_test else 1 if place < num_test + num_dev else 0
    return [{item.key for item in examples if role[member(item)] == number} for number in range(3)]


def _count(share: float, among: int) -> int:
    """How many of so many: one at least where there are three, so that each set has something."""
    return max(1, round(share * among)) if among >= FEWEST_FOLDS else 0


def _fold(examples: Sequence[Example], spec: Folds) -> list[Split]:
    """Each name is the test fold once, and the next one in their order is the dev fold."""
    member: Callable[[Example], str] = (lambda item: item.part) if spec.by == "parts" else _speaker
    names = sorted({member(item) for item in examples})
    if len(names) < FEWEST_FOLDS:
        raise BadDataError(
            "SPLIT_EMPTY",
            f"found {len(names)} {spec.by} ({', '.join(names) or 'none'}), expected {FEWEST_FOLDS} or more for folds; "
            "among the examples of the evaluation; use another split",
        )
    splits = []
    for number, name in enumerate(names):
        after = names[(number + 1) % len(names)]
        sets = (
            tuple(item for item in examples if member(item) not in (name, after)),
            tuple(item for item in examples if member(item) == after),
            tuple(item for item in examples if member(item) == name),
        )
        splits.append(Split(name, *sets))
    return splits


def _speaker(example: Example) -> str:
    """The speaker; an example whose speaker is not known is alone."""
    return example.speaker or f"\0{example.key}"


def _content(example: Example) -> str:
    """What a draw of single examples draws: copies of a recording stay together."""
    return example.content or example.key


def _keep(examples: Iterable[Example], most: int | None) -> tuple[Example, ...]:
    """At most so many, by the hashes of their keys, in their own order."""
    every = tuple(examples)
    if most is None or len(every) <= most:
        return every
    kept = set(sorted((item.key for item in every), key=lambda key: (seed_for(0, "examples", key), key))[:most])
    return tuple(item for item in every if item.key in kept)


def _require_some(split: Split, examples: Sequence[Example], spec: SplitSpec, *, is_trained: bool) -> None:
    sets = {"train": split.train, "dev": split.dev, "test": split.test}
    if empty := [name for name, part in sets.items() if not part and (is_trained or name != "train")]:
        parts = sorted({item.part or "(unnamed)" for item in examples})
        speakers = len({_speaker(item) for item in examples})
        raise BadDataError(
            "SPLIT_EMPTY",
            f"the {' and the '.join(empty)} set has no example, of {len(examples)} with {speakers} speakers and the "
            f"parts {', '.join(parts) or 'none'}; in the split {spec.type}; name other parts or shares",
        )
