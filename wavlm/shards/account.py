"""The account of a shards folder: every recording and every sample is used, excluded or refused, and only once.

Samples are counted at 16 kHz, and once per channel that is taken. `Ledger` keeps the books of one part. The number of
samples that come in is what the decoder counted, of a region those of its passage in the file. The others are sums over
the utterances and the rejects. `wavlm.shards.coverage` counts what of a file is in no region, or in several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.regions import Passage
from wavlm.shards.rejects import Reject
from wavlm.shards.utterance import Piece, Utterance
from wavlm.shards.waveform import Ending

EXCLUDED = frozenset({str(Reason.TOO_SHORT)})  # good recordings that are too short: `max_rejected` ignores them


@dataclass(frozen=True)
class Account:
    """The books of some recordings. Samples of recordings that cannot be decoded to their end are in no number."""

    samples: int = 0  # that came in
    samples_used: int = 0
    samples_excluded: int = 0
    samples_refused: int = 0
    unmeasured: int = 0  # recordings that cannot be decoded to their end
    clipped: int = 0  # samples above full scale, of files that are used, over all their channels
    notes: Mapping[str, int] = field(default_factory=dict)  # recordings that are used per `NoteCode`
    channels: Mapping[str, int] = field(default_factory=dict)  # recordings that are used per number of channels
    cuts: Mapping[str, int] = field(default_factory=dict)  # places where recordings were cut, per `CutKind`

    @property
    def is_balanced(self) -> bool:
        return self.samples == self.samples_used + self.samples_excluded + self.samples_refused


def add_up(accounts: Sequence[Account]) -> Account:
    """The account of all recordings of several accounts. Raises RuntimeError if it does not balance."""
    total = Account(
        samples=sum(item.samples for item in accounts),
        samples_used=sum(item.samples_used for item in accounts),
        samples_excluded=sum(item.samples_excluded for item in accounts),
        samples_refused=sum(item.samples_refused for item in accounts),
        unmeasured=sum(item.unmeasured for item in accounts),
        clipped=sum(item.clipped for item in accounts),
        notes=_add_counts(item.notes for item in accounts),
        channels=_add_counts(item.channels for item in accounts),
        cuts=_add_counts(item.cuts for item in accounts),
    )
    if not total.is_balanced:
        raise RuntimeError(f"the samples do not add up: {total}")
    return total


@dataclass(frozen=True)
class Taken:
    """What a recording takes of its file, which was decoded to its end."""

    ending: Ending
    passage: Passage
    channels: tuple[int, ...]  # as in `Piece`; of a channel that is missing its number
    notes: tuple[str, ...] = ()  # of this recording alone, beside those of the file

    @property
    def samples(self) -> int:
        return self.passage.samples * len(self.channels)


@dataclass
class _Entry:
    """What happened to one recording."""

    taken: Taken | None = None  # None: not decoded to its end
    error: AudioError | None = None  # of the recording as a whole
    used: list[Piece] = field(default_factory=list)
    lost: list[tuple[str, Piece, AudioError]] = field(default_factory=list)  # key of the utterance, and why

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.used, *(piece for _, piece, _ in self.lost))


class Ledger:
    """Writes down what happens to the recordings of a part, and closes the books at its end."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def refuse(self, key: str, error: AudioError, taken: Taken | None = None) -> None:
        """A recording is not used at all. `taken`: None if it could not be decoded to its end."""
        self._entries[key] = _Entry(taken, error)

    def admit(self, key: str, taken: Taken) -> None:
        """A recording was decoded. Each of its pieces is then either used or lost."""
        self._entries[key] = _Entry(taken)

    def use(self, utterance: Utterance) -> None:
        for piece in utterance.pieces:
            self._entries[piece.key].used.append(piece)

    def lose(self, name: str, piece: Piece, error: AudioError) -> None:
        """A piece is left out; `name` is the key that its utterance would have."""
        self._entries[piece.key].lost.append((name, piece, error))

    def close(self) -> tuple[tuple[Reject, ...], Account]:
        """The rejects, in the order of the recordings, and the account.

        Raises RuntimeError if a sample of a recording is in no piece, or in two.
        """
        rejects: list[Reject] = []
        for key, entry in self._entries.items():
            if entry.taken and not entry.error:
                _check_pieces(key, entry, entry.taken)
            rejects += _rejects_of(key, entry)
        return tuple(rejects), self._account(rejects)

    def _account(self, rejects: Sequence[Reject]) -> Account:
        used = [entry for entry in self._entries.values() if entry.used]
        takes = [entry.taken for entry in used if entry.taken]
        files = {id(taken.ending): taken.ending for taken in takes}  # several regions share one
        measured = [reject for reject in rejects if reject.samples >= 0]
        return Account(
            samples=sum(entry.taken.samples for entry in self._entries.values() if entry.taken),
            samples_used=sum(piece.samples for entry in used for piece in entry.used),
            samples_excluded=sum(reject.samples for reject in measured if reject.reason in EXCLUDED),
            samples_refused=sum(reject.samples for reject in measured if reject.reason not in EXCLUDED),
            unmeasured=len(rejects) - len(measured),
            clipped=sum(ending.clipped for ending in files.values()),
            notes=_add_counts({note: 1} for taken in takes for note in sorted({*taken.ending.notes, *taken.notes})),
            cuts=_add_counts(
                {str(piece.cut): 1} for entry in self._entries.values() for piece in entry.pieces if piece.cut
            ),
            channels=_add_counts({str(taken.ending.num_channels): 1} for taken in takes),
        )


def _rejects_of(key: str, entry: _Entry) -> list[Reject]:
    """One reject if nothing of the recording is used, else one per piece that is lost."""
    error = entry.error or (entry.lost[0][2] if not entry.used else None)
    if error:
        samples = entry.taken.samples if entry.taken else -1
        return [Reject(key, str(error.code), _printable(error.message), samples=samples)]
    return [
        Reject(key, str(error.code), _printable(error.message), name, piece.channel, piece.start, piece.samples)
        for name, piece, error in entry.lost
    ]


def _printable(text: str) -> str:
    """Bytes of file names that are not UTF-8 as escapes, because the lists are UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _check_pieces(key: str, entry: _Entry, taken: Taken) -> None:
    for channel in taken.channels:
        here = sorted((item.start, item.samples) for item in entry.pieces if item.channel == channel)
        edges = [*accumulate((samples for _, samples in here), initial=taken.passage.start)]
        if [start for start, _ in here] != edges[:-1] or edges[-1] != taken.passage.stop:
            first, last = taken.passage
            raise RuntimeError(
                f"the pieces of channel {channel} of {key} are {here}, expected samples {first} to {last}"
            )
    if stray := {item.channel for item in entry.pieces} - {*taken.channels}:
        raise RuntimeError(f"pieces of {key} are of channels {stray}, which were not taken")


def _add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return dict(sorted(total.items()))
