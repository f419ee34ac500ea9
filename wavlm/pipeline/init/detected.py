"""A layout that fits the files of a corpus."""

from __future__ import annotations

from dataclasses import dataclass

from wavlm.specs import Layout


@dataclass(frozen=True)
class Detected:
    """A layout that fits, and why, in words. `remarks`: what a person may want to change."""

    layout: Layout
    why: str
    remarks: tuple[str, ...] = ()
