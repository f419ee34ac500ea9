"""The ground truth of the fixed mixtures: what was added to which utterance, from when to when and how loud.

`mixtures.tsv` holds all of it, one line per mixture. `mixtures.rttm` holds who speaks when, in NIST's RTTM format, that
diarisation tools read: the primary over the whole file, the secondary in its region.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import get_args

from wavlm.errors import BadDataError
from wavlm.mixing.mix import Event
from wavlm.specs import SAMPLE_RATE_HZ, EffectName
from wavlm.storage.files import write_text
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

TSV, RTTM = "mixtures.tsv", "mixtures.rttm"


@dataclass(frozen=True)
class Truth:
    """One mixture. `first_frame` is a frame of the primary utterance; samples count from the begin of the mixture."""

    key: str
    primary: str  # key of the utterance whose labels the mixture has
    primary_sha256: str  # of its FLAC
    primary_speaker: str
    first_frame: int  # of the crop, in the primary
    num_samples: int  # of the mixture
    kind: str  # what was added: speech or noise
    secondary: str  # its key
    secondary_speaker: str
    start_samples: int  # of the region with the secondary
    end_samples: int
    loudest_samples: int  # centre of the loudest tenth of a second of what was added
    source_start_samples: int  # begin of that region in the secondary's crop or recording
    ratio_db: float  # energy of the primary's crop over that of the whole scaled secondary
    scale: float  # factor on the secondary
    gain: float  # factor on the whole mixture; below 1 if it would have clipped
    effects: str  # applied after mixing, in their order: names with + between them

    @property
    def event(self) -> Event:
        """The event that was mixed in."""
        return Event(
            key=self.key,
            kind="noise" if self.kind == "noise" else "speech",
            source=self.secondary,
            start_samples=self.start_samples,
            num_samples=self.end_samples - self.start_samples,
            source_start_samples=self.source_start_samples,
            ratio_db=self.ratio_db,
            scale=self.scale,
        )

    @property
    def effect_names(self) -> tuple[EffectName, ...]:
        """The effects that were applied, in their order."""
        names: dict[str, EffectName] = {name: name for name in get_args(EffectName)}
        return tuple(names[name] for name in self.effects.split("+") if name)


def write_truth(folder: Path, truth: Sequence[Truth], sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write both files; the same truth gives the same bytes."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(field.name for field in fields(Truth))
    writer.writerows(astuple(item) for item in truth)
    write_text(folder / TSV, table.getvalue())
    write_text(folder / RTTM, "".join(f"{line}\n" for item in truth for line in _rttm_lines(item, sample_rate_hz)))


def read_truth(folder: Path) -> tuple[Truth, ...]:
    """The truth of a mixtures folder.

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, TRUTH_UNREADABLE if it is missing or damaged.
    """
    path = folder / TSV
    check_sealed(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return tuple(_parse(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        refuse_passing(error, path)
        raise BadDataError("TRUTH_UNREADABLE", f"{error!r}; at {path}; make the mixtures again") from error


def _parse(row: dict[str, str]) -> Truth:
    types = {"str": str, "int": int, "float": float}
    return Truth(**{field.name: types[str(field.type)](row[field.name]) for field in fields(Truth)})


def _rttm_lines(item: Truth, sample_rate_hz: int) -> Iterable[str]:
    yield _rttm_line("SPEAKER", item.key, 0.0, item.num_samples / sample_rate_hz, item.primary_speaker)
    if item.end_samples > item.start_samples:
        kind, name = ("SPEAKER", item.secondary_speaker)
        if item.kind == "noise":
            kind, name = ("NON-SPEECH", item.secondary)
        duration_s = (item.end_samples - item.start_samples) / sample_rate_hz
        yield _rttm_line(kind, item.key, item.start_samples / sample_rate_hz, duration_s, name)


def _rttm_line(kind: str, key: str, start_s: float, duration_s: float, name: str) -> str:
    # RTTM: type, file, channel, onset, duration, orthography, subtype, name, confidence, lookahead.
    return f"{kind} {key} 1 {start_s:.4f} {duration_s:.4f} <NA> <NA> {name or key} <NA> <NA>"
