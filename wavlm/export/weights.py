"""Read tensors from untrusted files, without running any code in them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError
from wavlm.export.sources import read_index, weight_files
from wavlm.nn.files import read_weights, require_weights
from wavlm.storage.seals import check_sealed

LFS_POINTER = b"version https://git-lfs"


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hugging Face folder: one file or several with an index, safetensors before .bin.

    Raises ImportRefusedError if there is no such file, or one that cannot be read whole.
    """
    first, *others = weight_files(folder)
    read = _read_bin if ".bin" in first else _read_safetensors
    return _read_listed(folder / first, others, read) if first.endswith(".json") else read(folder / first)


def _read_listed(index: Path, names: list[str], read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all files that an index lists. Each must be where the index says."""
    listed = read_index(index)
    tensors: dict[str, Tensor] = {}
    for name in names:
        found = read(index.parent / name)
        wrong = [key for key in found if listed.get(key, name) != name]
        wrong += [key for key, place in listed.items() if place == name and key not in found]
        if wrong:
            raise ImportRefusedError(
                f"the file does not hold what the index lists: {', '.join(sorted(wrong)[:8])}; in "
                f"{index.parent / name}; download both again"
            )
        tensors |= found
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _refuse_pointer(path)
    return read_weights(path)


def _read_bin(path: Path) -> dict[str, Tensor]:
    return tensors_of(read_pt(path), path)


def _refuse_pointer(path: Path) -> None:
    """Raise ImportRefusedError for the small text file that git leaves in place of a large one."""
    with path.open("rb") as file:
        is_pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
    if is_pointer:
        raise ImportRefusedError(
            f"the file is a pointer of Git LFS, not weights; at {path}; fetch the weights with `git lfs pull`"
        )


def read_pt(path: Path) -> Any:
    """The content of a .pt or .bin file of tensors and plain values.

    Raises ImportRefusedError if there is anything else in it, or if it is broken.
    """
    check_sealed(path)
    _refuse_pointer(path)
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
    return require_weights(dict(value), path)
