"""Reading tensors from files that others made: no code in them ever runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError


def read_pt(path: Path) -> Any:
    """What a .pt or .bin file holds, if that is tensors and plain values only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ImportRefusedError(
            f"{path} holds more than tensors and plain values, so it was refused; nothing in it "
            "was run. If you trust its maker, save its tensors and its cfg (a plain dict) anew. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ImportRefusedError(f"{path} is not a whole torch file: {error}") from error


def tensors_of(value: Any, path: Path) -> dict[str, Tensor]:
    """A dict of named tensors, or an error that says what was found instead."""
    if not isinstance(value, dict):
        raise ImportRefusedError(f"{path}: found {type(value).__name__}, expected a dict of tensors")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ImportRefusedError(f"{path}: {name!r} is {type(tensor).__name__}, expected a tensor")
    return dict(value)
