"""Whether an artifact still fits its inputs: it does until one of them was made again and holds something else.

The seal of an artifact (`wavlm.pipeline.record`) names the content of each input. Small files are compared, and of all
others nothing is hashed. An input whose record or seal is damaged counts as one that is gone: it is reported for
itself, and what was made from it stays what it is. A registration fits if it was made in the registry that is asked
now.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import Artifact, Registration, SystemRegistration
from wavlm.pipeline.record import RECORD_FILE, Seal, read_seal
from wavlm.pipeline.registration import explain_registry
from wavlm.storage.files import sha256_of
from wavlm.storage.seals import require_record

PathOf = Callable[[Artifact], Path]

BROKEN = "has a record that was damaged"


def find_fault(artifact: Artifact, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    """Why an artifact has to be made; None if it is complete and fits its inputs. Inputs that are gone do not matter.

    `known` remembers the answers by key, because artifacts share inputs.
    """
    if artifact.key not in known:
        known[artifact.key] = _look(artifact, path_of, known)
    return known[artifact.key]


def contents_of_inputs(artifact: Artifact, path_of: PathOf) -> dict[str, str]:
    """The digest of the content of each input, by its key."""
    return {item.key: _content(path_of(item)) for item in artifact.inputs}


def find_broken(folder: Path) -> BadDataError | None:
    """What is wrong with the record or the seal of an artifact that is there (RECORD_BROKEN); None if nothing is."""
    try:
        require_record(folder)
        read_seal(folder)
    except BadDataError as error:
        return error
    return None


def _look(artifact: Artifact, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    folder = path_of(artifact)
    if not (folder / RECORD_FILE).is_file():
        return "is not complete"
    if find_broken(folder):
        return BROKEN
    if isinstance(artifact, Registration | SystemRegistration) and (
        elsewhere := explain_registry(folder, folder.parents[1])
    ):
        return elsewhere
    return _compare_inputs(artifact, folder, path_of, known)


def _compare_inputs(artifact: Artifact, folder: Path, path_of: PathOf, known: dict[str, str | None]) -> str | None:
    seal = read_seal(folder)
    return next(filter(None, (_compare(item, path_of, known, seal) for item in artifact.inputs)), None)


def _compare(item: Artifact, path_of: PathOf, known: dict[str, str | None], seal: Seal | None) -> str | None:
    """Why an input, as it is now, does not fit the artifact with this seal; None if it fits, is gone or is damaged."""
    folder = path_of(item)
    if not (folder / RECORD_FILE).is_file() or find_broken(folder):
        return None
    content = _content(folder)
    if seal is not None and seal.inputs.get(item.key, content) != content:
        return f"was made from another {item} than is there now"
    if find_fault(item, path_of, known) is not None:
        return f"was made from {item}, which has to be made again"
    return None


def _content(folder: Path) -> str:
    """The digest of what an artifact holds; empty if it is not there."""
    if not (folder / RECORD_FILE).is_file():
        return ""
    seal = read_seal(folder)
    return seal.content if seal else sha256_of(folder / RECORD_FILE)
