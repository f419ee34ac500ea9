"""How much a recipe needs of speech, in hours, and of downloads, in bytes. What nobody knows counts as unknown.

How much speech there is comes from the store for what it holds, else from `expected_hours` of the corpus spec.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from wavlm.corpus.download.listed import with_listed
from wavlm.corpus.facts import CorpusFacts
from wavlm.pipeline.artifacts import Labels, Model, Shards, generation_of
from wavlm.pipeline.record import read_field
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import AptSource, CorpusSpec, FolderSource, HttpsSource, MadeSource, MfccFeatures
from wavlm.specs.frames import FrameGrid, mfcc_per_frame


@dataclass(frozen=True)
class Sum:
    """A sum of which some addends may be unknown."""

    known: float = 0.0
    unknown: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.known + other.known, self.unknown + other.unknown)

    def __mul__(self, factor: float) -> Sum:
        return Sum(self.known * factor, self.unknown)

    def show(self, digits: int = 0) -> str:
        """`12.3`, `at least 12.3` if a part is unknown, `?` if nothing is known."""
        if self.unknown:
            return f"at least {self.known:,.{digits}f}" if self.known else "?"
        return f"{self.known:,.{digits}f}"


LABEL_BYTES = 56 / 50  # of a label: measured at 50 Hz, in Parquet with zstd
FLAT_BYTES = 2  # of a label while a model trains

NOTHING = Sum()
UNKNOWN = Sum(0.0, 1)


def add(sums: Iterable[Sum]) -> Sum:
    """The sum of sums."""
    return sum(sums, NOTHING)


def label_bytes_per_second(model: Model) -> float:
    """Of the labels that a model learns, in their files: of MFCC there are mostly two per frame."""
    if model.codebook is None:
        return 0.0
    grid, spec = FrameGrid.of(model.network), model.codebook.spec
    per_frame = mfcc_per_frame(grid) if isinstance(spec.features, MfccFeatures) else 1
    return LABEL_BYTES * per_frame * spec.num_streams * grid.rate_hz


def flat_bytes_per_second(model: Model) -> float:
    """Of the copy of its labels that a model trains with: one per frame and stream."""
    streams = model.codebook.spec.num_streams if model.codebook else 0
    return FLAT_BYTES * streams * FrameGrid.of(model.network).rate_hz


def hours_of(shards: Shards, store: Store | None) -> Sum:
    """Audio of a corpus: of its shards if the store holds them, else of the corpus, else what its spec expects."""
    if store and store.is_complete(shards):
        return Sum(store.facts(shards, ShardsFacts).hours)
    if store and store.is_complete(shards.corpus):
        return Sum(store.facts(shards.corpus, CorpusFacts).hours)
    if store and (earlier := earlier_hours(shards, store)):
        return Sum(earlier * _growth(shards))
    expected = shards.corpus.spec.expected_hours
    return Sum(expected) if expected else UNKNOWN


def earlier_hours(shards: Shards, store: Store) -> float:
    """Audio in the shards of the generation before, whose parts are taken over; 0 for a corpus that has not grown."""
    siblings = store.siblings(shards) if shards.is_known and (generation_of(shards) or 1) > 1 else []
    return ShardsFacts.model_validate(read_field(siblings[0], "facts"), strict=False).hours if siblings else 0.0


def _growth(shards: Shards) -> float:
    """How much larger the folder of a corpus is than in the generation before, by bytes."""
    sizes = shards.corpus.spec.folder.generation_bytes if shards.corpus.spec.folder else ()
    return sizes[-1] / max(1, sizes[-2]) if len(sizes) > 1 else 1.0


def share_to_make(artifact: Shards | Labels, store: Store | None) -> float:
    """The share of shards or labels that no earlier generation has made, as far as hours tell."""
    shards = artifact.shards if isinstance(artifact, Labels) else artifact
    if store is None or (isinstance(artifact, Labels) and not store.is_complete(artifact.codebook)):
        return 1.0
    hours = hours_of(shards, store).known
    return 1.0 - min(1.0, earlier_hours(shards, store) / hours) if hours else 1.0


def download_bytes(spec: CorpusSpec) -> Sum:
    """Size of a corpus' archives; a folder is read in place, and what is made here is not downloaded."""
    return _total(spec, _archives(spec))


def unpacked_bytes(spec: CorpusSpec) -> Sum:
    """Size of what is unpacked from a corpus' archives. Plain tars that are not to be unpacked are read as they are."""
    is_read_there = spec.keep in ("none", "archives")
    return _total(spec, [item for item in _archives(spec) if not (is_read_there and item.file_name.endswith(".tar"))])


def left_to_download(shards: Shards, store: Store | None) -> Sum:
    """What is not among the store's downloads."""
    spec = shards.corpus.spec
    archives = with_listed(_archives(spec), store.downloads) if store else ()
    places = {item: store.downloads / item.file_name for item in archives} if store else {}
    there = {item: path.stat().st_size for item, path in places.items() if path.exists()}
    left = _total(spec, [item for item in _archives(spec) if item not in there])
    if not there or not _has_one_size(spec):
        return left
    return Sum(max(0.0, left.known - sum(there.values())), left.unknown)


def _archives(spec: CorpusSpec) -> list[HttpsSource | AptSource]:
    return [source for source in spec.sources if not isinstance(source, FolderSource | MadeSource)]


def _total(spec: CorpusSpec, archives: Collection[HttpsSource | AptSource]) -> Sum:
    """The sizes of some archives of a corpus together."""
    if archives and _has_one_size(spec):
        return Sum(spec.published_gigabytes * 1e9)
    return add(map(_source_bytes, archives))


def _has_one_size(spec: CorpusSpec) -> bool:
    """Whether the publisher says how large all archives are together, and not how large each is."""
    return bool(spec.published_gigabytes) and any(_source_bytes(item).unknown for item in _archives(spec))


def _source_bytes(source: HttpsSource | AptSource) -> Sum:
    published = source.published_gigabytes * 1e9 if isinstance(source, HttpsSource) else 0.0
    size = source.size_bytes or published
    return Sum(size) if size else UNKNOWN
