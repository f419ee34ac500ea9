"""Figures and amounts as people read them."""

from __future__ import annotations

from wavlm.evaluation.results.facts import Amount, Figure

# Words in the names of shares and rates: these are shown in percent, all others as they are.
RATES = frozenset({"accuracy", "recall", "precision", "f1", "per", "wer", "cer", "eer", "der", "rate", "stoi"})


def show_value(metric: str, value: float) -> str:
    """The value of a metric: shares and rates in percent."""
    return f"{100 * value:.2f} %" if RATES & set(metric.split("_")) else f"{value:.4g}"


def show_figure(figure: Figure) -> str:
    """A figure with its interval, if it has one."""
    value = show_value(figure.name, figure.value)
    if figure.interval is None:
        return value
    low, high = (show_value(figure.name, end).removesuffix(" %") for end in (figure.interval.low, figure.interval.high))
    return f"{value} [{low}, {high}]"


def describe_amount(amount: Amount | None) -> str:
    """How much a set of examples is."""
    if amount is None:
        return "not known"
    speakers = f"{amount.speakers:,} speakers" if amount.speakers else "speakers not known"
    return f"{amount.utterances:,} utterances, {speakers}, {amount.minutes:.2g} min"
