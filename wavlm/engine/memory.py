"""Explain that memory is full: on a GPU torch raises an error of its own, on the CPU a RuntimeError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wavlm.errors import UsageError


@contextmanager
def explain_out_of_memory(what: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error into a UsageError (OUT_OF_MEMORY) that says for what, and what to change."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "t allocate memory" not in str(error):
            raise
        raise UsageError("OUT_OF_MEMORY", f"no memory for {what}; {advice}; torch says: {error}") from error
