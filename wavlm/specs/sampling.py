"""Sampling specs: how often training, and the sample of a codebook, take speech of each corpus and each language."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from wavlm.errors import UsageError
from wavlm.specs.base import FieldError, NonNegative, Probability, Spec
from wavlm.specs.lookup import suggest

MOST_LANGUAGES = 200  # that are measured one by one; those with least speech are measured together
UNKNOWN_LANGUAGE = "unknown"  # the name of the language of utterances whose language is not known


class Group(NamedTuple):
    """Utterances of one language in one corpus. They are all taken equally often."""

    corpus: str
    language: str  # UNKNOWN_LANGUAGE if it is not known


class BalanceSpec(Spec):
    """Shares of languages, or of corpora: p is in proportion to weight x hours^alpha."""

    alpha: Probability = 1.0
    """The exponent of the hours, one over the temperature. 1: by hours. 0: all alike, whatever their hours.

    Source: arXiv 2111.09296 (XLS-R): 0.5. arXiv 2406.06371 (mHuBERT-147): 0.7 for languages, 0.9 for corpora.
    Change: lower it so that small ones are taken more often. What is small is then repeated often: `wavlm plan` says
    how often.
    """

    weights: dict[Annotated[str, Field(min_length=1)], NonNegative] = {}  # noqa: RUF012 - pydantic copies it
    """Factors on the shares, by name. Those that are not named have 1; 0: never taken.

    Utterances whose language is not known are of the language `unknown`.
    Change: `{cs: 2}` takes Czech twice as often as it would be taken, compared with all others.
    """

    def __hash__(self) -> int:
        return hash((self.alpha, tuple(sorted(self.weights.items()))))

    def shares(self, amounts: Mapping[str, float]) -> dict[str, float]:
        """The share of each name, by its hours. They add up to 1, or to 0 if all have weight 0."""
        largest = max(amounts.values(), default=1.0)
        parts = {name: self.weights.get(name, 1.0) * (it / largest) ** self.alpha for name, it in amounts.items()}
        total = sum(parts.values()) or 1.0
        return {name: part / total for name, part in parts.items()}


class SamplingSpec(Spec):
    """Which share of the audio that is taken is of which language and which corpus.

    With both, shares of languages come first, and those of corpora divide what a language has (arXiv 2406.06371). The
    audio that an epoch takes is as much as there is, whatever the shares: small groups are repeated, and of large ones
    a part is left for other epochs.
    """

    languages: BalanceSpec | None = None
    """Shares of languages. Not given: languages do not matter.

    Change: `{alpha: 0.7}` for speech of many languages, of which a few have most of the hours.
    """

    corpora: BalanceSpec | None = None
    """Shares of corpora; within each language, if `languages` is given. Not given: by their hours.

    Change: `{weights: {name: 2}}` takes one corpus twice as often as the others.
    """

    @model_validator(mode="after")
    def _check_given(self) -> SamplingSpec:
        if not self.languages and not self.corpora:
            raise FieldError("sampling wants `languages`, `corpora` or both: without them leave it out", "languages")
        return self

    def shares(self, amounts: Mapping[Group, float]) -> dict[Group, float]:
        """The share of each group of the audio that is taken, by the audio that there is of it (any unit).

        They add up to 1, or to 0 if no group has both audio and a weight above 0.
        """
        there = {group: amount for group, amount in amounts.items() if amount > 0}
        corpora = self.corpora or BalanceSpec()
        of_languages = _sum_by(there, _language) if self.languages else {"": 1.0}
        outer = self.languages.shares(of_languages) if self.languages else dict.fromkeys(of_languages, 1.0)
        found = dict.fromkeys(amounts, 0.0)
        for language, share in outer.items():
            inside = {g: amount for g, amount in there.items() if not self.languages or g.language == language}
            of_corpora = _sum_by(inside, _corpus)
            inner = corpora.shares(of_corpora)
            for group, amount in inside.items():
                found[group] = share * inner[group.corpus] * amount / of_corpora[group.corpus]
        total = sum(found.values()) or 1.0
        return {group: share / total for group, share in found.items()}

    def times(self, amounts: Mapping[Group, float]) -> dict[Group, float]:
        """How often an epoch takes each utterance of a group, on average."""
        total = sum(amounts.values())
        shares = self.shares(amounts)
        return {group: shares[group] * total / amount if amount else 0.0 for group, amount in amounts.items()}

    def find_strangers(self, groups: Iterable[Group]) -> tuple[str, ...]:
        """Names with a weight that no group has, each as `language cs` or `corpus ab`."""
        known = list(groups)
        languages = set(self.languages.weights if self.languages else ()) - set(map(_language, known))
        corpora = set(self.corpora.weights if self.corpora else ()) - set(map(_corpus, known))
        return (*(f"language {name}" for name in sorted(languages)), *(f"corpus {name}" for name in sorted(corpora)))


def name_metric(language: str) -> str:
    """The name of a language in metrics, which have letters, digits, `_`, `-` and `.` only.

    A name with other signs gets a digest, so that no two languages get one name.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", language)
    return plain if plain == language else f"{plain}-{hashlib.sha256(language.encode()).hexdigest()[:6]}"


def check_corpora(sampling: SamplingSpec | None, names: Collection[str], *at: str | int) -> None:
    """Raise FieldError, at the field, if a weight is of a corpus that an iteration does not use."""
    for name in sampling.corpora.weights if sampling and sampling.corpora else ():
        if name not in names:
            hint = suggest(name, names)
            known = f"{', '.join(names)}{f': {hint}' if hint else ''}"
            raise FieldError(
                f"{name} is not among the speech corpora that are used here: {known}",
                *(*at, "sampling", "corpora", "weights", name),
            )


def refuse_strangers(sampling: SamplingSpec, found: Collection[Group], field: str) -> None:
    """Raise UsageError (SAMPLING) if a weight is of what no utterance is, no language is known, or all weights are 0.

    found: the groups that there are. field: where the recipe has the sampling.
    """
    languages = sorted({group.language for group in found})
    if sampling.languages and languages == [UNKNOWN_LANGUAGE]:
        raise UsageError(
            "SAMPLING",
            f"speech is to be taken by language, but no utterance has one; at {field}.languages; name the language, or "
            "the column that has it, in the corpus spec, or leave this out",
        )
    if not any(sampling.shares(dict.fromkeys(found, 1.0)).values()):
        raise UsageError("SAMPLING", f"all speech has the weight 0; at {field}; give some a weight above 0")
    if strangers := sampling.find_strangers(found):
        there = ", ".join(sorted({group.corpus for group in found}) + languages)
        raise UsageError(
            "SAMPLING",
            f"no utterance to train on is of {', '.join(strangers)}, there is {there}; at {field}; correct the name, "
            "or leave it out",
        )


def _language(group: Group) -> str:
    return group.language


def _corpus(group: Group) -> str:
    return group.corpus


def _sum_by(amounts: Mapping[Group, float], name_of: Callable[[Group], str]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for group, amount in amounts.items():
        sums[name_of(group)] = sums.get(name_of(group), 0.0) + amount
    return sums
