"""Lines of RTTM from turns of speakers; `wavlm.corpus.layouts.rttm` reads them.

A name with blanks would be two fields, so blanks are written as underlines.
"""

from __future__ import annotations

from collections.abc import Sequence


def to_rttm(recording: str, turns: Sequence[tuple[float, float, str]], decimals: int = 3) -> str:
    """A line per turn (start and end in seconds, speaker). What is shorter than the last decimal is left out."""
    lines = []
    for start_s, end_s, speaker in turns:
        start, end = round(start_s, decimals), round(end_s, decimals)
        if end > start:
            lines.append(
                f"SPEAKER {_word(recording)} 1 {start:.{decimals}f} {end - start:.{decimals}f} <NA> <NA> "
                f"{_word(speaker)} <NA> <NA>\n"
            )
    return "".join(lines)


def _word(text: str) -> str:
    return "_".join(text.split()) or "<NA>"
