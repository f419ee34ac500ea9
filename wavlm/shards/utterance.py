"""The utterance of a shard: waveform, text, phones and origin, and how long recordings are cut and short ones joined.

Shapes: T samples at the rate of the shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wavlm.corpus.layouts import UNKNOWN_SPEAKER, Phone
from wavlm.shards.cuts import Cut, CutKind
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec

NO_PHONE = Phone(0.0, 0.0, "")  # stands in a json member where no phone is known


@dataclass(frozen=True)
class Piece:
    """The part of a recording that an utterance contains. All numbers are samples at the rate of the shards."""

    key: str  # of the recording
    offset: int  # in the utterance
    start: int  # in the recording's file
    samples: int
    channel: int = 0  # of the file, counted from 1; 0: the mean of all, or the only one
    cut: CutKind | None = None  # what was found where it was cut off from the piece before; None: no piece is before


@dataclass(frozen=True, eq=False)
class Utterance:
    """What a shard stores under one key."""

    key: str
    speaker: str
    split: str
    waveform: Waveform  # (T,)
    text: str | None  # None: not known, or not known for this part of the recording
    phones: tuple[Phone, ...] | None  # times in seconds from the first sample; None or empty: none is known
    pieces: tuple[Piece, ...]
    language: str | None = None  # as the publisher writes it; None: not known

    @property
    def is_cut(self) -> bool:
        """Whether this is one of several pieces of a recording, or of one of its channels."""
        first = self.pieces[0]
        return len(self.pieces) == 1 and self.key not in (first.key, channel_name(first.key, first.channel))


@dataclass(frozen=True)
class Source:
    """A recording at the rate of the shards before it is cut, or one of its channels."""

    key: str
    speaker: str
    split: str
    text: str | None
    phones: tuple[Phone, ...] | None
    whole: Piece  # all of it: the recording, the channel, and the number of samples
    language: str | None = None


def to_json(utterance: Utterance, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """The json member of an utterance. A name has the same type in all of them, as readers that infer a schema want.

    So an unknown text is "", and where no phone is known there is one entry of no duration. An empty list or null would
    be another type to pyarrow, and with it to Hugging Face's `load_dataset("webdataset")`.
    """
    value = {
        "key": utterance.key,
        "speaker": utterance.speaker,
        "language": utterance.language or "",
        "split": utterance.split,
        "samples": len(utterance.waveform),
        "text": utterance.text or "",
        "phones": [phone._asdict() for phone in utterance.phones or (NO_PHONE,)],
        "pieces": [_piece_to_json(piece, sample_rate_hz) for piece in utterance.pieces],
    }
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def from_json(blob: bytes, waveform: Waveform) -> Utterance:
    """The utterance of a json member and a decoded FLAC member, (T,). Raises ValueError if they do not fit."""
    value: dict[str, Any] = json.loads(blob)
    if value["samples"] != len(waveform):
        raise ValueError(f"json says {value['samples']} samples, FLAC holds {len(waveform)}")
    return Utterance(
        key=value["key"],
        speaker=value["speaker"],
        split=value["split"],
        waveform=waveform,
        text=value["text"] or None,
        phones=_read_phones(value) or None,
        pieces=tuple(map(_piece_from_json, value["pieces"])),
        language=value["language"] or None,
    )


def _piece_to_json(piece: Piece, sample_rate_hz: int) -> dict[str, object]:
    """A piece, and its region of the file in seconds."""
    start_s, end_s = (sample / sample_rate_hz for sample in (piece.start, piece.start + piece.samples))
    return {**vars(piece), "cut": piece.cut or "", "start_s": start_s, "end_s": end_s}


def _piece_from_json(value: dict[str, Any]) -> Piece:
    chosen = {name: value[name] for name in ("key", "offset", "start", "samples", "channel")}
    return Piece(**chosen, cut=value["cut"] or None)


def has_phones(blob: bytes) -> bool:
    """Whether a json member has a timed phone. Raises ValueError, KeyError or TypeError if it is damaged."""
    return bool(_read_phones(json.loads(blob)))


def _read_phones(value: dict[str, Any]) -> tuple[Phone, ...]:
    return tuple(phone for phone in map(_read_phone, value["phones"] or ()) if phone != NO_PHONE)


def _read_phone(value: dict[str, Any] | list[Any]) -> Phone:
    """A phone as an object, or as [start_s, end_s, phone] in shards of earlier versions."""
    return Phone(**value) if isinstance(value, dict) else Phone(*value)


def channel_name(name: str, channel: int) -> str:
    """The name of one channel of a recording, or of its speaker."""
    return f"{name}-c{channel}"


def cut(source: Source, cuts: Sequence[Cut], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[tuple[Source, Piece]]:
    """Cut a recording into pieces: what each is, and where it lies. Without cuts it is one piece.

    A phone that crosses a cut is in both pieces, each with its part of the duration. The text of a piece is
    not known.
    """
    whole = source.whole
    if not cuts:
        yield source, whole
        return
    edges = [whole.start, *(item.at for item in cuts), whole.start + whole.samples]
    kinds = [whole.cut, *(item.kind for item in cuts)]
    for number, (start, stop, kind) in enumerate(zip(edges[:-1], edges[1:], kinds, strict=True)):
        piece = replace(whole, start=start, samples=stop - start, cut=kind)
        phones = _shift_phones(source.phones, whole.start - start, stop - start, sample_rate_hz)
        yield replace(source, key=f"{source.key}-p{number:03d}", text=None, phones=phones), piece


def join_consecutive(utterances: Iterable[Utterance], spec: ShardSpec) -> Iterator[Utterance]:
    """Join consecutive whole recordings of the same known speaker, language and split, up to `join_seconds`."""
    group: list[Utterance] = []
    for utterance in utterances:
        if group and not _fits(group, utterance, spec):
            yield join(group, _gap_samples(spec), spec.sample_rate_hz)
            group = []
        group.append(utterance)
    if group:
        yield join(group, _gap_samples(spec), spec.sample_rate_hz)


def join(group: Sequence[Utterance], gap_samples: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Utterance:
    """One utterance from several, with silence between them. A single one is returned unchanged.

    The text is known if all texts are known. The phones are those of the recordings that have phones.
    """
    if len(group) == 1:
        return group[0]
    waveforms: list[Waveform] = []
    pieces: list[Piece] = []
    phones: list[Phone] = []
    offset = 0
    for item in group:
        if waveforms:
            waveforms.append(np.zeros(gap_samples, np.float32))
            offset += gap_samples
        samples = len(item.waveform)
        waveforms.append(item.waveform)
        pieces.append(replace(item.pieces[0], offset=offset))
        phones += _shift_phones(item.phones, offset, offset + samples, sample_rate_hz) or ()
        offset += samples
    texts = [item.text for item in group if item.text]
    return Utterance(
        key=f"{group[0].key}-j{len(group)}",
        speaker=group[0].speaker,
        split=group[0].split,
        waveform=np.concatenate(waveforms),
        text=" ".join(texts) if len(texts) == len(group) else None,
        phones=tuple(phones) if any(item.phones is not None for item in group) else None,
        pieces=tuple(pieces),
        language=group[0].language,
    )


def _fits(group: Sequence[Utterance], following: Utterance, spec: ShardSpec) -> bool:
    first = group[0]
    samples = sum(len(item.waveform) for item in (*group, following))
    samples += len(group) * _gap_samples(spec)
    return (
        first.speaker not in ("", UNKNOWN_SPEAKER)
        and (first.speaker, first.language, first.split) == (following.speaker, following.language, following.split)
        and not (first.is_cut or following.is_cut)
        and samples <= round(spec.join_seconds * spec.sample_rate_hz)
    )


def _shift_phones(
    phones: Sequence[Phone] | None, shift_samples: int, end_samples: int, sample_rate_hz: int
) -> tuple[Phone, ...] | None:
    """Phones moved by a number of samples and clipped to 0 .. end. Phones outside are dropped."""
    if phones is None:
        return None
    shift_s, longest_s = shift_samples / sample_rate_hz, end_samples / sample_rate_hz
    moved = (
        Phone(
            round(max(phone.start_s + shift_s, 0.0), 6),
            round(min(phone.end_s + shift_s, longest_s), 6),
            phone.phone,
        )
        for phone in phones
    )
    return tuple(phone for phone in moved if phone.start_s < phone.end_s)


def _gap_samples(spec: ShardSpec) -> int:
    return round(spec.join_gap_seconds * spec.sample_rate_hz)
