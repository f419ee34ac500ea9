"""A model on disk: in which layout it is, which files make it up, and which network they describe. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wavlm.errors import UsageError
from wavlm.export.errors import ImportRefusedError
from wavlm.export.hf_config import CONFIG_FILE, HEAD_FILE, PREPROCESSOR_FILES, read_hf_network
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE, read_network
from wavlm.nn.start import differences
from wavlm.specs import NetworkSpec
from wavlm.storage.files import read_json

WEIGHTS_NAMES = (WEIGHTS_FILE, "pytorch_model.bin")  # of a Hugging Face folder, the first to be taken first


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk. `files`: all that it is read from, by names below `place`, or the file `place` itself."""

    layout: Literal["native", "hf", "fairseq", "system"]
    place: Path
    files: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self.place / name for name in self.files)


def find_model(place: Path) -> ModelFiles:
    """The model at a place: a model folder, a Hugging Face folder or a file in fairseq's layout.

    Raises ImportRefusedError if there is none, or if files of it are missing.
    """
    if (place / NETWORK_FILE).is_file():
        if not (place / WEIGHTS_FILE).is_file():
            raise ImportRefusedError(f"{WEIGHTS_FILE} is missing, so this is no complete model; at {place}")
        return ModelFiles("native", place, (WEIGHTS_FILE, NETWORK_FILE))
    if (place / CONFIG_FILE).is_file():
        settings = [name for name, _ in PREPROCESSOR_FILES if (place / name).is_file()]
        head = [HEAD_FILE] if (place / HEAD_FILE).is_file() else []
        return ModelFiles("hf", place, (CONFIG_FILE, *settings[:1], *head, *weight_files(place)))
    if place.is_file():
        return ModelFiles("fairseq", place, ("",))
    raise ImportRefusedError(
        f"expected a model folder ({NETWORK_FILE}), a Hugging Face folder ({CONFIG_FILE}, with {HEAD_FILE} for the "
        f"head) or a fairseq-layout .pt file; at {place}"
    )


def find_models(folder: Path) -> list[Path]:
    """The places of all models below a folder: folders with a description, and files that end in .pt."""
    described = {path.parent for name in (NETWORK_FILE, CONFIG_FILE) for path in folder.rglob(name)}
    return sorted([*described, *(path for path in folder.rglob("*.pt") if path.parent not in described)])


def weight_files(folder: Path) -> tuple[str, ...]:
    """The files with the weights of a Hugging Face folder: one, or an index and all that it lists.

    Raises ImportRefusedError if there are none.
    """
    for name in WEIGHTS_NAMES:
        if (folder / name).is_file():
            return (name,)
        if (folder / f"{name}.index.json").is_file():
            index = folder / f"{name}.index.json"
            return (index.name, *sorted(set(read_index(index).values())))
    raise ImportRefusedError(
        f"there are no weights; in {folder}; expected {' or '.join(WEIGHTS_NAMES)}, or several files with "
        f"{WEIGHTS_NAMES[0]}.index.json: is the download complete?"
    )


def read_index(index: Path) -> dict[str, str]:
    """The file that holds each tensor, as an index lists them; each is there. Raises ImportRefusedError."""
    try:
        listed: dict[str, Any] = dict(read_json(index)["weight_map"])
        names = sorted(set(listed.values()), key=str)
    except (ValueError, TypeError, KeyError) as error:
        raise ImportRefusedError(f"its weight_map cannot be read: {error!r}; in {index}; download it again") from error
    for name in names:
        # A name with a folder in it would reach files elsewhere.
        if not isinstance(name, str) or Path(name).name != name or not (index.parent / name).is_file():
            raise ImportRefusedError(f"{name!r} is listed but is not a file beside it; in {index}; download it again")
    return listed


def read_model_network(model: ModelFiles) -> NetworkSpec | None:
    """The network that a model's files describe; None if that is only known once the weights are read.

    Raises ImportRefusedError or ModelFileError if they describe none.
    """
    if model.layout in ("native", "system"):
        return read_network(model.place).network if NETWORK_FILE in model.files else None
    return read_hf_network(model.place) if model.layout == "hf" else None


def check_network(found: NetworkSpec, expected: NetworkSpec | None, where: Path | str) -> None:
    """Raise UsageError (MODEL_NETWORK) unless a model's network is the expected one."""
    if differing := differences(found, expected) if expected else []:
        raise UsageError(
            "MODEL_NETWORK",
            f"the model is of another network than its spec says: {', '.join(differing)}; at {where}; correct "
            "`network` of the model, or name another model",
        )


def content_of(model: ModelFiles, digest_of: Callable[[Path], str]) -> str:
    """The digest that identifies a model: of a file its sha256, of a folder that of the names and sha256 of its files.

    The place of the files is no part of it.
    """
    if model.layout == "fairseq":
        return digest_of(model.place)
    lines = (f"{name} {digest_of(model.place / name)}\n" for name in sorted(model.files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
