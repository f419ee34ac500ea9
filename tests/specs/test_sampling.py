"""Shares of languages and corpora: the formulas of XLS-R and mHuBERT-147, and names that nothing has."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from wavlm.errors import UsageError
from wavlm.specs import BalanceSpec, Group, SamplingSpec
from wavlm.specs.identity import canonical
from wavlm.specs.sampling import refuse_strangers

HOURS = {
    Group("read", "en"): 900.0,
    Group("talks", "en"): 100.0,
    Group("read", "cs"): 10.0,
    Group("talks", "sw"): 3.0,
}


def test_languages_have_shares_as_in_xls_r() -> None:
    """p_l in proportion to (n_l / N)^alpha, arXiv 2111.09296 section 3; within a language by hours."""
    shares = SamplingSpec(languages=BalanceSpec(alpha=0.5)).shares(HOURS)
    language = np.array([1000.0, 10.0, 3.0])
    expected = (language / language.sum()) ** 0.5
    expected /= expected.sum()
    found = [shares[Group("read", "en")] + shares[Group("talks", "en")], *list(shares.values())[2:]]
    np.testing.assert_allclose(found, expected)
    assert shares[Group("read", "en")] / shares[Group("talks", "en")] == pytest.approx(9)


def test_languages_then_corpora_have_shares_as_in_mhubert() -> None:
    """p_l in proportion to n_l^0.7, and p of a corpus in it to its hours^0.9, arXiv 2406.06371."""
    both = SamplingSpec(languages=BalanceSpec(alpha=0.7), corpora=BalanceSpec(alpha=0.9)).shares(HOURS)
    english = 1000**0.7 / (1000**0.7 + 10**0.7 + 3**0.7)
    assert both[Group("talks", "en")] == pytest.approx(english * 100**0.9 / (100**0.9 + 900**0.9))
    assert both[Group("read", "en")] == pytest.approx(english * 900**0.9 / (100**0.9 + 900**0.9))


def test_corpora_alone_have_shares_over_all_languages() -> None:
    shares = SamplingSpec(corpora=BalanceSpec(alpha=0.0)).shares(HOURS)
    assert shares[Group("read", "en")] + shares[Group("read", "cs")] == pytest.approx(0.5)
    assert shares[Group("read", "en")] / shares[Group("read", "cs")] == pytest.approx(90)


def test_a_weight_multiplies_and_the_epoch_has_as_much_audio_as_before() -> None:
    times = SamplingSpec(languages=BalanceSpec(weights={"cs": 3.0, "sw": 0.0})).times(HOURS)
    assert times[Group("read", "cs")] / times[Group("read", "en")] == pytest.approx(3)
    assert times[Group("talks", "sw")] == 0
    assert sum(times[group] * hours for group, hours in HOURS.items()) == pytest.approx(sum(HOURS.values()))


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingSpec(languages=BalanceSpec()),
        SamplingSpec(corpora=BalanceSpec(weights={"read": 2.0, "talks": 2.0})),
        SamplingSpec(languages=BalanceSpec(weights={"en": 1.0}), corpora=BalanceSpec(alpha=1.0)),
    ],
)
def test_equal_weights_and_no_temperature_take_everything_once(sampling: SamplingSpec) -> None:
    assert [round(times * 2**32) for times in sampling.times(HOURS).values()] == [2**32] * 4


def test_weights_of_nothing_are_refused() -> None:
    nothing = SamplingSpec(languages=BalanceSpec(weights={"en": 0.0, "cs": 0.0, "sw": 0.0}))
    with pytest.raises(UsageError, match="all speech has the weight 0"):
        refuse_strangers(nothing, list(HOURS), "train.sampling")
    with pytest.raises(ValidationError, match="sampling wants"):
        SamplingSpec()


def test_names_that_nothing_has_are_refused_with_those_that_there_are() -> None:
    sampling = SamplingSpec(languages=BalanceSpec(weights={"cz": 2.0}), corpora=BalanceSpec(weights={"red": 2.0}))
    with pytest.raises(UsageError) as caught:
        refuse_strangers(sampling, list(HOURS), "train.sampling")
    assert caught.value.code == "SAMPLING"
    for part in ("language cz", "corpus red", "read, talks, cs, en, sw", "train.sampling"):
        assert part in str(caught.value)


def test_sampling_by_language_without_languages_is_refused() -> None:
    with pytest.raises(UsageError, match="no utterance has one"):
        refuse_strangers(SamplingSpec(languages=BalanceSpec(alpha=0.5)), [Group("a", "unknown")], "train.sampling")
    refuse_strangers(SamplingSpec(corpora=BalanceSpec(alpha=0.5)), [Group("a", "unknown")], "train.sampling")


def test_the_order_of_weights_changes_neither_key_nor_hash() -> None:
    one, other = (SamplingSpec(languages=BalanceSpec(weights=dict(pairs)))
                  for pairs in ([("a", 1.0), ("b", 2.0)], [("b", 2.0), ("a", 1.0)]))  # fmt: skip
    assert hash(one) == hash(other)
    assert canonical(one) == canonical(other) == {"languages": {"weights": {"a": 1.0, "b": 2.0}}}
