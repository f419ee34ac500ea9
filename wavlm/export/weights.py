"""Read tensors from untrusted files, without running any code in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError


def read_pt(path: Path) -> Any:
    """The content of a .pt or .bin file of tensors and plain values.

    Raises ImportRefusedError if there is anything else in it, or if it is broken.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ImportRefusedError(
            "the file contains more than tensors and plain values, so it was refused, and nothing in it was run "
            f"({str(error).splitlines()[0]}); at {path}; if you trust its author, save its tensors and its cfg "
            "(a plain dict) again"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ImportRefusedError(f"this is no complete torch file: {error}; at {path}") from error


def tensors_of(value: Any, path: Path) -> dict[str, Tensor]:
    """The value as a dict of named tensors. Raises ImportRefusedError if it is not one."""
    if not isinstance(value, dict):
        raise ImportRefusedError(f"found {type(value).__name__}, expected a dict of tensors; at {path}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ImportRefusedError(f"{name!r} is {type(tensor).__name__}, expected a tensor; at {path}")
    return dict(value)
