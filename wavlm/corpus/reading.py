"""Read the recordings of a corpus from the files that were gathered, onto the disk, and check what was found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.archives import AUDIO, Files
from wavlm.corpus.containers import account_containers
from wavlm.corpus.contents import FolderContents
from wavlm.corpus.layouts import (
    FilesAccount,
    Recording,
    TableAccount,
    check_files,
    describe_losses,
    has_trials,
    open_layout,
    open_trials,
    path_from_text,
)
from wavlm.corpus.layouts.names import find_spelled
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.layouts.trial import Trial
from wavlm.corpus.listing import LISTING, ListedFile, RecordingList, write_listing
from wavlm.corpus.manifest import BATCH_ROWS
from wavlm.corpus.targets import TRIAL_SCHEMA
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec
from wavlm.specs.layouts import LABELLED
from wavlm.storage.encoding import printable
from wavlm.storage.texts import find_repeats, hash_texts

logger = logging.getLogger(__name__)

TEST_PARTS = ("test", "eval")  # of publishers of labelled data


@dataclass(frozen=True)
class Found:
    """What the layout of a corpus finds: the recordings, on the disk, and what became of all files and rows."""

    listing: RecordingList
    files: FilesAccount
    tables: tuple[TableAccount, ...]
    trials: pa.Table  # without rows unless the layout has lists of trials


def read_corpus(spec: CorpusSpec, files: Files, out: Path) -> Found:
    """What the layout finds in the folder, or in what was unpacked. Losses that are allowed are logged.

    `out`: the folder that the list of recordings is written into.
    Raises BadDataError (DUP_KEY, LAYOUT, FILE_CHANGED), and what `wavlm.corpus.layouts.check_files` raises.
    """
    found = _read(spec, files, out / LISTING)
    if files.contents:
        _check_tables(files.contents, found.tables)
    check_files(found.files, spec.max_left_out, spec.name, files.root)
    check_keys(found.listing, files.root)
    for line in describe_losses(found.files, found.tables):
        logger.warning("%s: %s", spec.name, line)
    return found


def _read(spec: CorpusSpec, files: Files, path: Path) -> Found:
    """What the layout finds in the folder, or in what was unpacked."""
    is_unpacked = files.contents is not None and files.in_place is None
    root = files.in_place.root if files.in_place else files.root / (AUDIO if is_unpacked else "")
    tree, found = open_layout(spec.layout, root, None if files.contents else files.left)

    def recordings() -> Iterator[Recording]:
        for item in found:
            if files.contents is None:
                _refuse_outside(spec, item)
            elif is_unpacked:
                item = replace(item, path=AUDIO / item.path)  # noqa: PLW2901
            item = item if item.language else replace(item, language=spec.language or None)  # noqa: PLW2901
            yield _for_evaluation(item) if spec.role == "evaluation" else _for_training(item, spec)

    listing = write_listing(path, recordings(), _known_file(files))
    trials = _read_trials(spec, tree, listing)
    account = tree.account(_paths_of(listing, AUDIO if is_unpacked else ""))
    if is_unpacked and files.contents is not None:
        account = account_containers(spec.layout, files.contents.root, account)
    return Found(listing, account, tuple(tree.tables), trials)


def _for_evaluation(item: Recording) -> Recording:
    """A recording of a corpus for evaluations: it is held out from training, whatever its publisher's part is.

    A text without a letter is no text: nothing could be recognized.
    """
    text = item.text if item.text and item.text.strip() else None
    return replace(item, split="valid", part=item.part or item.split or "", text=text)


def _for_training(item: Recording, spec: CorpusSpec) -> Recording:
    """A recording of another corpus. What a publisher of labelled data tests on is never trained on."""
    is_test = isinstance(spec.layout, LABELLED) and item.part in TEST_PARTS
    return replace(item, split="test" if is_test else item.split, part="", target=None)


def _read_trials(spec: CorpusSpec, tree: Tree, listing: RecordingList) -> pa.Table:
    """The trials of a corpus for evaluations, list by list; without rows if its layout has none."""
    if spec.role != "evaluation" or not has_trials(spec.layout):
        return TRIAL_SCHEMA.empty_table()
    keys = {key for batch in listing.stream() for key in batch["key"].to_pylist()}
    trials = open_trials(spec.layout, tree, keys)
    batches = [pa.RecordBatch.from_pylist([one._asdict() for one in some], TRIAL_SCHEMA) for some in _grouped(trials)]
    return pa.Table.from_batches(batches, TRIAL_SCHEMA)


def _grouped(trials: Iterator[Trial]) -> Iterator[list[Trial]]:
    while some := list(islice(trials, BATCH_ROWS)):
        yield some


def _known_file(files: Files) -> Callable[[PurePosixPath], ListedFile]:
    """What is known of each file before it is opened."""

    def find(name: PurePosixPath) -> ListedFile:
        unpacked = files.unpacked.get(str(name))
        if unpacked is None:
            return ListedFile(files.sha256_of(name) if files.in_place else None)
        # Digested as it was read from its archive; the shards stage compares what it decodes.
        known = ListedFile(unpacked.sha256, unpacked.bytes)
        if unpacked.rate_hz:  # measured as it was unpacked
            known = known._replace(rate_hz=unpacked.rate_hz, num_samples=unpacked.num_samples)
        return known._replace(archive=unpacked.archive, offset=unpacked.offset) if unpacked.is_left else known

    return find


def _paths_of(listing: RecordingList, above: str) -> Iterator[str]:
    """The paths of the recordings below the folder that was read."""
    for batch in listing.stream():
        for text in pc.unique(batch["path"]).to_pylist():
            path = path_from_text(text)
            yield path.removeprefix(f"{above}/") if above else path


def _refuse_outside(spec: CorpusSpec, item: Recording) -> None:
    """Raise BadDataError (LAYOUT) if a manifest of an archive names other files: nothing would pin these."""
    if item.path.is_absolute() or ".." in item.path.parts:
        raise BadDataError(
            "LAYOUT",
            f"a manifest names {printable(str(item.path))}, which is not in the archives of {spec.name}; in the "
            "corpus spec; unpack the archives by hand, and name their folder as the source",
        )


def _check_tables(contents: FolderContents, tables: tuple[TableAccount, ...]) -> None:
    """Check that the tables are part of the folder's content, and are as they were when it was read."""
    for table in tables:
        path = find_spelled(contents.root, table.table)
        name = str(path.relative_to(contents.root))
        if name not in contents.states:
            raise BadDataError(
                "LAYOUT",
                f"a table is hidden, or behind a link that is not followed: a change of it would not be seen; at "
                f"{path}; move it to a folder of the corpus that is not hidden",
            )
        contents.sha256_of(name)


def check_keys(listing: RecordingList, root: Path) -> None:
    """Raise BadDataError (DUP_KEY) if a key names several recordings. `root`: the folder, for the message."""
    hashes = hash_texts(pa.chunked_array([batch["key"] for batch in listing.stream()], pa.string()))
    if twice := find_repeats(hashes, lambda: (batch["key"] for batch in listing.stream())):
        rows = (batch["path"].filter(pc.equal(batch["key"], twice[0])).to_pylist() for batch in listing.stream())
        paths = ", ".join(printable(path_from_text(path)) for some in rows for path in some)
        raise BadDataError(
            "DUP_KEY",
            f"{len(twice)} keys name several files each, for example {twice[0]}: {paths}; in {root}; "
            "narrow the layout in the corpus spec",
        )
