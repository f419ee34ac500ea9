"""Split examples into what heads are fitted on, what they are chosen by, and what is scored.

Legend: E examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.held import choose_examples
from wavlm.rng import seed_for
from wavlm.specs.splits import ByExample, ByPart, BySpeaker, Folds, SplitSpec

FEWEST_FOLDS = 3  # one is scored, one chooses, one is for training
Mask = npt.NDArray[np.bool_]  # (E,)


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of examples."""

    name: str  # of the fold; empty if there is one split
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]
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
        chosen = _fold(examples, spec)
    else:
        chosen = {"": _by_part(examples, spec) if isinstance(spec, ByPart) else _by_hash(examples, spec, class_of)}
    splits = []
    for name, masks in chosen.items():
        train, dev, test = (_keep(choose_examples(examples, np.flatnonzero(mask)), most) for mask in masks)
        splits.append(Split(name, train if is_trained else (), dev, test))
    for split in splits:
        _require_some(split, examples, spec, is_trained=is_trained)
    return tuple(splits)


def _by_part(examples: Sequence[Example], spec: ByPart) -> list[Mask]:
    names, numbers = _number(item.part for item in examples)
    train, dev, test = (
        np.isin(numbers, [names[one] for one in it if one in names]) for it in (spec.train, spec.dev, spec.test)
    )
    if spec.dev_speakers is not None:
        seeds = _seeds(0, "split", map(_speaker, examples))
        ordered = np.unique(seeds[train])
        held = np.isin(seeds, ordered[: max(1, round(spec.dev_speakers * len(ordered)))])
        train, dev = train & ~held, train & held
    return [train, dev, test]


def _by_hash(
    examples: Sequence[Example], spec: BySpeaker | ByExample, class_of: Callable[[Example], str]
) -> list[Mask]:
    """Draw whole speakers, or single examples of each class: in the order of their hashes, test first, then dev."""
    if isinstance(spec, BySpeaker):
        groups = np.zeros(len(examples), dtype=np.int64)
        seeds = _seeds(spec.seed, "split", map(_speaker, examples))
    else:
        groups = _number(map(class_of, examples))[1]
        seeds = _seeds(spec.seed, "split", map(_content, examples))
    role = np.zeros(len(examples), dtype=np.int8)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        ordered, places = np.unique(seeds[members], return_inverse=True)
        num_test, num_dev = (_count(share, len(ordered)) for share in (spec.test, spec.dev))
        role[members] = np.where(places < num_test, 2, np.where(places < num_test + num_dev, 1, 0))
    return [role == number for number in range(3)]


def _number(names: Iterable[str]) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """The number of each name, and those of all in their order, (E,)."""
    known: dict[str, int] = {}
    numbers = np.fromiter((known.setdefault(name, len(known)) for name in names), np.int64)
    return known, numbers


def _seeds(seed: int, purpose: str, names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """What names are ordered by, (E,). Two names with one seed would be drawn together: among 1e6, 1 in 4e7."""
    return np.fromiter((seed_for(seed, purpose, name) for name in names), np.uint64)


def _count(share: float, among: int) -> int:
    """How many of so many: one at least where there are three, so that each set has something."""
    return max(1, round(share * among)) if among >= FEWEST_FOLDS else 0


def _fold(examples: Sequence[Example], spec: Folds) -> dict[str, list[Mask]]:
    """Each name is the test fold once, and the next one in their order is the dev fold."""
    known, numbers = _number(item.part if spec.by == "parts" else _speaker(item) for item in examples)
    names = sorted(known)
    if len(names) < FEWEST_FOLDS:
        raise BadDataError(
            "SPLIT_EMPTY",
            f"found {len(names)} {spec.by} ({', '.join(names) or 'none'}), expected {FEWEST_FOLDS} or more for folds; "
            "among the examples of the evaluation; use another split",
        )
    found = {}
    for place, name in enumerate(names):
        test, dev = (numbers == known[one] for one in (name, names[(place + 1) % len(names)]))
        found[name] = [~(test | dev), dev, test]
    return found


def _speaker(example: Example) -> str:
    """The speaker; an example whose speaker is not known is alone."""
    return example.speaker or f"\0{example.key}"


def _content(example: Example) -> str:
    """What a draw of single examples draws: copies of a recording stay together."""
    return example.content or example.key


def _keep(examples: Sequence[Example], most: int | None) -> Sequence[Example]:
    """At most so many, by the hashes of their keys, in their own order."""
    if most is None or len(examples) <= most:
        return examples
    seeds = _seeds(0, "examples", (item.key for item in examples))
    return choose_examples(examples, np.sort(np.argsort(seeds, kind="stable")[:most]))


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
