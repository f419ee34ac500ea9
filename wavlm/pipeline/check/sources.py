"""Where corpora come from: folders that can be read, archives that may be fetched, and programs that fetch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from wavlm.corpus.credentials import read_credentials
from wavlm.corpus.layouts import check_layout
from wavlm.corpus.made.espeak import find_library
from wavlm.corpus.sources import refuse_sources
from wavlm.errors import BadDataError, CodedError, ServiceMissingError, UsageError
from wavlm.evaluation.decoding.language_model import place_of_words
from wavlm.pipeline.artifacts import Corpus, Evaluation, Finetune, Shards
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.first_downloads import describe_digests
from wavlm.pipeline.language_models import Decoding, language_model_of
from wavlm.specs import AptSource, CorpusSpec, FolderSource, MadeSource
from wavlm.storage.disk_watch import watch_disk


def check_sources(wanted: Wanted) -> Iterator[Finding]:
    """No corpus mixes a folder with archives; the environment says what a publisher asks for before a download."""
    for corpus in wanted.of(Corpus):
        if error := _find_refusal(corpus.spec):
            yield error


def find_missing(spec: CorpusSpec) -> Iterator[CodedError]:
    """Why a corpus cannot be had here: no folder, or an empty one; an agreement is missing, or a synthesiser."""
    if error := _find_refusal(spec):
        yield error
    for source in spec.sources:
        if isinstance(source, FolderSource) and isinstance(found := _look(_place_of(source), spec), CodedError):
            yield found
        if isinstance(source, MadeSource) and (error := _find_lack()):
            yield error


def check_synthesisers(wanted: Wanted) -> Iterator[Finding]:
    """The synthesiser is installed where speech is not made yet."""
    sources = [source for corpus in wanted.of(Corpus) for source in corpus.spec.sources]
    made = [source for source in sources if isinstance(source, MadeSource)]
    if not all((wanted.store.downloads / source.file_name).exists() for source in made) and (error := _find_lack()):
        yield error


def _find_lack() -> CodedError | None:
    try:
        find_library()
    except CodedError as error:
        return error
    return None


def find_missing_model(spec: Decoding) -> Iterator[CodedError]:
    """Why the language model of an evaluation or a system cannot be had here."""
    if (model := language_model_of(spec)) is not None:
        try:
            place_of_words(model)  # and of the model itself
        except (UsageError, BadDataError) as error:
            yield error


def check_language_models(wanted: Wanted) -> Iterator[Finding]:
    """The language models of decoders are there."""
    for evaluation in wanted.of(Evaluation):
        yield from find_missing_model(evaluation.spec)
    for system in wanted.of(Finetune):
        yield from find_missing_model(system.spec)


def _find_refusal(spec: CorpusSpec) -> CodedError | None:
    try:
        refuse_sources(spec)
        read_credentials(spec)
    except CodedError as error:
        return error
    return None


def _place_of(source: FolderSource) -> Path:
    return Path(os.path.expanduser(source.path)).absolute()  # noqa: PTH111 - that of Path raises RuntimeError


def check_digests(wanted: Wanted) -> Iterator[Finding]:
    """Archives have a digest from their publisher. Where not, a remark says so: nobody knows which bytes are right."""
    for corpus in wanted.of(Corpus):
        for digests in describe_digests(corpus.spec):
            yield Remark(f"{corpus.name}: {digests}", is_warning=True)


def check_folders(wanted: Wanted) -> Iterator[Finding]:
    """The folders of corpora are there, can be read and hold something; tables have the columns that the spec names."""
    read = [*wanted.of(Corpus), *(item.corpus for item in wanted.of(Shards))]
    for corpus in dict.fromkeys(read):  # shards read the folder again
        for source in corpus.spec.sources:
            if isinstance(source, FolderSource):
                folder = _place_of(source)
                with watch_disk(folder):
                    found = _look(folder, corpus.spec)
                yield found


def _look(folder: Path, spec: CorpusSpec) -> Finding:
    try:
        with os.scandir(folder) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        return _explain(error, folder, spec)
    if is_empty:
        return BadDataError("CORPUS_EMPTY", f"the folder of {spec.name} is empty; at {folder}; put the corpus there")
    try:
        check_layout(spec.layout, folder)
    except BadDataError as error:
        return error
    return Remark(f"{spec.name}: {folder} is there")


def _explain(error: OSError, folder: Path, spec: CorpusSpec) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(
            "FOLDER_MISSING",
            f"the folder of {spec.name} does not exist; at {folder}; put the corpus there (see {spec.homepage}) or "
            "correct the path in the corpus spec",
        )
    if isinstance(error, NotADirectoryError):
        return UsageError("NOT_A_FOLDER", f"the source of {spec.name} is a file; at {folder}; name its folder")
    what = f"the folder of {spec.name} cannot be read ({error.strerror})"
    return UsageError("NOT_READABLE", f"{what}; at {folder}; check its owner and its permissions")


def check_programs(wanted: Wanted) -> Iterator[Finding]:
    """apt-get and apt-cache are installed where a package that is not downloaded yet needs them."""
    needed = [
        source.package
        for corpus in wanted.of(Corpus)
        for source in corpus.spec.sources
        if isinstance(source, AptSource) and not (wanted.store.downloads / source.file_name).exists()
    ]
    for program in ("apt-get", "apt-cache") if needed else ():
        if shutil.which(program) is None:
            yield ServiceMissingError(
                "APT_MISSING",
                f"{program} is not installed; needed for {', '.join(needed)}; use Debian or Ubuntu, or the recipe "
                "mini-librispeech, which downloads over https",
            )
