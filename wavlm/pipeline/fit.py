"""Whether an artifact still fits its inputs: it does until one of them was made again and holds something else.

The seal of an artifact (`wavlm.pipeline.record`) names the content of each input. Small files are compared, and nothing
is hashed. A registration fits if it was made in the registry that is asked now.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wavlm.pipeline.artifacts import Artifact, Registration
from wavlm.pipeline.record import RECORD_FILE, read_seal
from wavlm.pipeline.registration import explain_registry
from wavlm.storage.files import sha256_of

PathOf = Callable[[Artifact], Path]


def find_fault(artifact: Artifact, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    """Why an artifact has to be made; None if it is complete and fits its inputs. Inputs that are gone do not matter.

    `known` remembers the answers by key, because artifacts share inputs.
    """
    if artifact.key not in known:
        known[artifact.key] = _look(artifact, path_of, known)
    return known[artifact.key]


def contents_of_inputs(artifact: Artifact, path_of: PathOf) -> dict[str, str]:
    """The digest of the content of each input, by its key."""
    return {item.key: _content(path_of(item)) or "" for item in artifact.inputs}


def _look(artifact: Artifact, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    folder = path_of(artifact)
    if not (folder / RECORD_FILE).is_file():
        return "is not complete"
    if isinstance(artifact, Registration) and (elsewhere := explain_registry(folder, folder.parents[1])):
        return elsewhere
    return _compare_inputs(artifact, folder, path_of, known)


def _compare_inputs(artifact: Artifact, folder: Path, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    seal = read_seal(folder)
    for item in artifact.inputs:
        content = _content(path_of(item))
        if content is None:
            continue
        if seal is not None and seal.inputs.get(item.key, content) != content:
            return f"was made from another {item} than is there now"
        if find_fault(item, path_of, known) is not None:
            return f"was made from {item}, which has to be made again"
    return None


def _content(folder: Path) -> str | None:
    """The digest of what an artifact holds; None if it is not there."""
    if not (folder / RECORD_FILE).is_file():
        return None
    seal = read_seal(folder)
    return seal.content if seal else sha256_of(folder / RECORD_FILE)
