"""The n-gram language model of a decoder: the file that KenLM reads, and the words that it has."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.decoding.witten_bell import write_arpa
from wavlm.specs.decoders import ArpaModel, LanguageModelSpec
from wavlm.storage.files import sha256_of

BINARY = b"mmap lm "  # how a binary file of KenLM begins
GZIP = b"\x1f\x8b"
MARKS = frozenset({"<s>", "</s>", "<unk>", "<UNK>"})  # no words
WHERE = "https://www.openslr.org/11/ has 4-gram.arpa.gz of LibriSpeech's books"


@dataclass(frozen=True)
class LanguageModel:
    """A file that KenLM reads, and its words."""

    path: Path
    words: tuple[str, ...]


@contextmanager
def open_model(spec: LanguageModelSpec, sentences: Sequence[Sequence[str]]) -> Iterator[LanguageModel]:
    """The language model of a spec. `sentences`: the words of each training transcript.

    Raises UsageError (LM_MISSING) where there is no file, BadDataError (LM_CHANGED, LM_UNREADABLE) for another one or
    none of the two forms.
    """
    if isinstance(spec, ArpaModel):
        path = place_of_model(spec)
        _check_digest(path, spec.sha256, "the language model has", "sha256")
        yield LanguageModel(path, tuple(read_words(spec, path)))
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "transcripts.arpa"
        write_arpa(path, sentences, spec.order)
        yield LanguageModel(path, tuple(sorted({word for sentence in sentences for word in sentence})))


def place_of_model(spec: ArpaModel) -> Path:
    """The file of a language model. Raises UsageError (LM_MISSING) where there is none."""
    path = Path(os.path.expanduser(spec.path)).absolute()  # noqa: PTH111 - that of Path raises RuntimeError
    if not path.is_file():
        raise UsageError(
            "LM_MISSING",
            f"the language model of the decoder is not there; at {path}; put the file there ({WHERE}), correct `path`, "
            "or leave `decoder` out",
        )
    return path


def place_of_words(spec: ArpaModel) -> Path | None:
    """The file of the words of a language model that does not list them; None for others.

    Raises UsageError (LM_MISSING) where there is no file, BadDataError (LM_UNREADABLE) where none is named.
    """
    model = place_of_model(spec)
    with model.open("rb") as file:
        if file.read(len(BINARY)) != BINARY:
            return None
    if not spec.words:
        raise BadDataError(
            "LM_UNREADABLE",
            f"a binary file of KenLM does not list its words; at {model}; name a file of them in `words`, such as the "
            "lexicon",
        )
    path = Path(os.path.expanduser(spec.words)).absolute()  # noqa: PTH111 - that of Path raises RuntimeError
    if not path.is_file():
        raise UsageError(
            "LM_MISSING",
            f"the words of the language model {model} are not there; at {path}; put the file there, or correct `words`",
        )
    return path


def _check_digest(path: Path, wanted: str | None, what: str, field: str) -> None:
    if wanted is not None and (found := sha256_of(path)) != wanted:
        raise BadDataError(
            "LM_CHANGED",
            f"{what} the SHA-256 {found}, expected {wanted}; at {path}; bring the file back, or correct `{field}`",
        )


def read_words(spec: ArpaModel, path: Path) -> Iterator[str]:
    """The words of a language model: of an ARPA file its 1-grams, of a binary file those of `words`."""
    lexicon = place_of_words(spec)
    if lexicon is None:
        yield from (word for word in _read_unigrams(path) if word not in MARKS)
        return
    _check_digest(lexicon, spec.words_sha256, "the words of the language model have", "words_sha256")
    lines = (line.split(maxsplit=1) for line in lexicon.read_text(encoding="utf-8").splitlines())
    yield from dict.fromkeys(line[0] for line in lines if line)


def _read_unigrams(path: Path) -> Iterator[str]:
    """The words of the section of 1-grams: lines of a logarithm, a word and, mostly, a weight."""
    is_inside = False
    for number, line in enumerate(_lines(path), 1):
        if line.startswith("\\"):
            if is_inside:
                return
            is_inside = line == "\\1-grams:"
        elif is_inside and line:
            fields = line.split()
            if len(fields) not in (2, 3) or not _is_number(fields[0]):
                raise unreadable(path, f"line {number} is no 1-gram, found {line[:60]!r}")
            yield fields[1]
        elif number == 1 and line:
            raise unreadable(path, f"it begins with {line[:40]!r}")
    if not is_inside:
        raise unreadable(path, "it has no section \\1-grams:")


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
    with gzip.open(path) if is_packed else path.open("rb") as file:
        try:
            for line in file:
                yield line.decode("utf-8").strip()
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise unreadable(path, str(error)) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def unreadable(path: Path, why: str) -> BadDataError:
    """The error of a file that is no language model."""
    return BadDataError(
        "LM_UNREADABLE",
        f"the file is no ARPA file and no binary file of KenLM: {why}; at {path}; fetch or make it again ({WHERE})",
    )
