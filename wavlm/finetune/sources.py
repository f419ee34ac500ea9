"""A system on disk, or one from elsewhere: which files make it up, and how a store takes them. Needs no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.export.errors import ImportRefusedError
from wavlm.export.facts import ModelFacts
from wavlm.export.sources import ModelFiles, check_network, content_of, read_model_network
from wavlm.finetune.facts import HEAD_FILE, HEAD_WEIGHTS_FILE, read_head_file
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE, read_header, read_network
from wavlm.specs import NetworkSpec
from wavlm.storage.files import atomic_path, sha256_of

HEAD_FILES, NETWORK_FILES = (HEAD_WEIGHTS_FILE, HEAD_FILE), (WEIGHTS_FILE, NETWORK_FILE)


def find_system(place: Path) -> ModelFiles:
    """The files of the system in a folder: head, and network if it has one. Raises ImportRefusedError."""
    there = [name for name in (*NETWORK_FILES, *HEAD_FILES) if (place / name).is_file()]
    lacking = [name for name in HEAD_FILES if name not in there]
    if lacking or len(there) == len(HEAD_FILES) + 1:
        missing = lacking or [name for name in NETWORK_FILES if name not in there]
        raise ImportRefusedError(f"{', '.join(missing)} missing, so this is no system of `wavlm finetune`; at {place}")
    return ModelFiles("system", place, tuple(there))


def copy_system(place: Path, out: Path, content: str | None = None, network: NetworkSpec | None = None) -> ModelFacts:
    """Copy the files of a system, once they are known to be whole; `head.json` last.

    content: the digest that the system must have, as `content_of` makes it. network: the network that it must have.
    Raises BadDataError (MODEL_CHANGED, RECORD_BROKEN) and UsageError (MODEL_NETWORK).
    """
    files = find_system(place)
    about = read_head_file(place)
    found = read_model_network(files)
    if found is not None:
        check_network(found, network, place)
    for name in files.files:
        with atomic_path(out / name) as temporary:
            shutil.copyfile(place / name, temporary)
    copied = content_of(find_system(out), sha256_of)
    if content not in (None, copied):
        raise BadDataError(
            "MODEL_CHANGED",
            f"the content is {copied}, expected {content}; at {place}; run again, which reads it anew, or correct "
            "`content` of the model",
        )
    weights = WEIGHTS_FILE if found is not None else HEAD_WEIGHTS_FILE
    header = read_header(out / weights)
    return ModelFacts(
        layout="system",
        content=copied,
        sha256=sha256_of(out / weights),
        parameters=header.num_numbers,
        num_layers=about.num_states - 1,
        width=about.num_channels,
        has_head=True,
        num_clusters=read_network(out).num_clusters if found is not None else 0,
    )
