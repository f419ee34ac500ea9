"""Whether a corpus that grows can go on: its list can be written, and earlier generations that are needed are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wavlm.errors import CodedError
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted

if TYPE_CHECKING:  # its libraries are imported where there is a folder
    from wavlm.corpus.growth.generations import GenerationList


def check_generations(wanted: Wanted) -> Iterator[Finding]:
    """The lists of generations fit, can be written, and still have what they are asked for."""
    for corpus in wanted.of(Corpus):
        if corpus.spec.folder:
            yield from _look(corpus)


def _look(corpus: Corpus) -> Iterator[Finding]:
    from wavlm.corpus.growth.generations import read_list

    found = read_list(corpus.spec)
    if found is None or not found.latest:
        return
    if not found.fits(corpus.spec):
        yield Remark(
            f"{corpus.name}: its list of generations was made for another spec of it: all of it is built anew, and the "
            f"list is kept aside; in {found.folder}",
            is_warning=True,
        )
        return
    try:
        _check_generation(corpus, found)
    except CodedError as error:
        yield error


def _check_generation(corpus: Corpus, found: GenerationList) -> None:
    from wavlm.corpus.growth.match import Versions, recall
    from wavlm.corpus.growth.write import refuse_closed

    source = corpus.spec.folder
    if source is None or not corpus.is_known or source.generation > found.latest:
        refuse_closed(corpus.spec)
    elif source.generation < found.latest:
        versions = Versions.of(found.history)
        here = versions.present_at(found.latest)
        recall(found.history, versions, source.generation, here, corpus.spec, is_changed=True)
