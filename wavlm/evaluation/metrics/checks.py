"""What every metric asks of its input: there is some, it is finite, and its parts have one length."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError, Code

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def undefined(what: str, where: str, advice: str) -> BadDataError:
    """The error of a figure that is not defined on its data."""
    return BadDataError(Code.METRIC_UNDEFINED, f"{what}; {where}; {advice}")


def misfit(what: str, where: str, advice: str) -> BadDataError:
    """The error of input whose parts do not belong together."""
    return BadDataError(Code.METRIC_MISFIT, f"{what}; {where}; {advice}")


def require_some(metric: str, references: Sized) -> None:
    """Raise BadDataError (METRIC_UNDEFINED) where there is nothing to score."""
    if not len(references):
        raise undefined(f"{metric}: nothing to score", "found 0, expected at least 1", "give the recordings of a test")


def require_pairs(metric: str, references: Sized, found: Sized) -> None:
    """Raise BadDataError unless each reference has its counterpart."""
    require_some(metric, references)
    if len(references) != len(found):
        raise misfit(
            f"{metric}: {len(references)} references and {len(found)} results",
            "expected one result for each reference",
            "pair them by key",
        )


def finite(metric: str, values: Sequence[float] | npt.NDArray[np.floating]) -> Floats:
    """The values in float64. Raises BadDataError (NOT_FINITE) where one is NaN or infinite."""
    numbers = np.asarray(values, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise BadDataError(
            Code.NOT_FINITE,
            f"{metric}: {bad.size} of {numbers.size} values are NaN or infinite; the first is number {bad[0]}; "
            "check the model whose output this is",
        )
    return numbers
