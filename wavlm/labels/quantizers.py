"""`quantizer.npz` of a codebook folder: the arrays of random projections, or of several codebooks that add up."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from wavlm.errors import BadDataError
from wavlm.labels.assign import Assign, make_assign
from wavlm.labels.centroids import read_centroids
from wavlm.labels.facts import CodebookFacts, read_codebook
from wavlm.labels.multi_codebook import SummedAssign, SummedCodebooks
from wavlm.labels.random_projection import ProjectionAssign, RandomProjections
from wavlm.storage.files import open_atomic, sha256_of
from wavlm.storage.seals import sha256_as_it_is

QUANTIZER_FILE = "quantizer.npz"
Quantizer = RandomProjections | SummedCodebooks


def write_quantizer(quantizer: Quantizer, out: Path) -> str:
    """Write the arrays; the sha256 of the file. The same arrays give the same bytes."""
    with open_atomic(out / QUANTIZER_FILE) as file:
        np.savez(file, **asdict(quantizer))
    return sha256_of(out / QUANTIZER_FILE)


def read_quantizer(codebook_dir: Path, facts: CodebookFacts) -> Quantizer:
    """The quantizer of a folder; raises BadDataError (CHECKSUM) if it is not the one that `codebook.json` names."""
    path = codebook_dir / QUANTIZER_FILE
    found = sha256_as_it_is(path) if path.is_file() else "no file"
    if found != facts.sha256:
        raise BadDataError("CHECKSUM", f"found {found}, expected {facts.sha256}; at {path}; make the codebook again")
    with np.load(path, allow_pickle=False) as arrays:
        form = RandomProjections if facts.type == "random_projection" else SummedCodebooks
        return form(**{name: arrays[name] for name in arrays.files})


def read_assign(codebook_dir: Path, device: str) -> Assign:
    """The function from frames to labels of a codebook folder, on a device. Raises BadDataError (CHECKSUM)."""
    facts = read_codebook(codebook_dir)
    if facts.type == "kmeans":
        return make_assign(read_centroids(codebook_dir), device)
    quantizer = read_quantizer(codebook_dir, facts)
    if isinstance(quantizer, RandomProjections):
        return ProjectionAssign(quantizer, device)
    return SummedAssign(quantizer, device)
