"""What can be known of a model folder without torch: `network.json`, and the header of `model.safetensors`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from safetensors import SafetensorError, safe_open

from wavlm.errors import BadDataError
from wavlm.specs import NetworkSpec, QuantizerSpec
from wavlm.storage.files import read_json
from wavlm.storage.seals import check_sealed

WEIGHTS_FILE = "model.safetensors"
NETWORK_FILE = "network.json"
HEAD_PREFIX = "head."
# Entries of the weights' own header, so that their sha256 covers them.
HEAD_ENTRY, UNTRAINED = "head", "untrained"
CODEBOOK_ENTRY = "codebook"


class ModelFileError(BadDataError):
    """A model's files are missing, damaged or do not fit its network."""

    def __init__(self, message: str) -> None:
        """`message` reads `what happened; where`."""
        super().__init__("MODEL_UNUSABLE", f"{message}; get the model again, whole and as its author wrote it")


class NetworkFile(BaseModel):
    """Content of `network.json`: everything needed to build the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkSpec
    num_clusters: int = Field(ge=0)  # that the head predicts; 0: it has a quantiser
    num_streams: int = Field(default=1, ge=1)  # of labels, each with a head of its own
    quantizer: QuantizerSpec | None = None  # of the head of wav2vec 2.0

    @model_validator(mode="after")
    def _check_head(self) -> NetworkFile:
        if (self.num_clusters == 0) != (self.quantizer is not None):
            raise ValueError(f"found {self.num_clusters} clusters and {self.quantizer}, expected one of both; in head")
        return self

    @property
    def content(self) -> dict[str, JsonValue]:
        """As JSON. A head that predicts clusters has no entry for a quantiser, one of one stream none for streams."""
        one = {"num_streams"} if self.num_streams == 1 else None
        return self.model_dump(mode="json", exclude_none=True, exclude=one)


@dataclass(frozen=True)
class WeightsHeader:
    """What the header of `model.safetensors` says."""

    has_head: bool  # a trained one
    num_numbers: int  # of the tensors outside the head
    codebook: str = ""  # sha256 of the centroids whose labels the head predicts; empty: not known


def read_network(folder: Path) -> NetworkFile:
    """The content of a model folder's `network.json`. Raises ModelFileError if it is missing or damaged.

    In a sealed folder it is compared with its seal first: BadDataError (CHECKSUM).
    """
    path = folder / NETWORK_FILE
    check_sealed(path)
    if not path.is_file():
        raise ModelFileError(f"{path.name} is missing, so this is no complete model; at {folder}")
    try:
        return NetworkFile.model_validate(read_json(path), strict=False)
    except ValueError as error:  # not JSON, or JSON with other fields
        raise ModelFileError(f"this describes no network: {error}; at {path}") from error


def read_header(path: Path) -> WeightsHeader:
    """The header of a safetensors file. Raises ModelFileError if it is missing or damaged.

    It is not compared with a seal, which would read all of the file: who takes the weights does that.

    A head that `wavlm import` made, because the released model had none, is marked as untrained.
    """
    with _open(path) as file:
        names = list(file.keys())
        entries = file.metadata() or {}
        sizes = [math.prod(file.get_slice(name).get_shape()) for name in names if not name.startswith(HEAD_PREFIX)]
    has_head = entries.get(HEAD_ENTRY) != UNTRAINED and any(name.startswith(HEAD_PREFIX) for name in names)
    return WeightsHeader(has_head, sum(sizes), entries.get(CODEBOOK_ENTRY, ""))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise ModelFileError(f"{path.name} is missing; at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ModelFileError(f"this is no complete safetensors file: {error}; at {path}") from error
