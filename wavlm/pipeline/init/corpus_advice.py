"""The corpus spec of speech that was looked at: layout, channels, what is held out, and the reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wavlm.corpus.layouts import Recording
from wavlm.corpus.manifest import ManifestRow
from wavlm.corpus.split import all_in_test, split
from wavlm.errors import BadDataError
from wavlm.pipeline.init.advice import Advice
from wavlm.pipeline.init.look import Holdings, num_lost
from wavlm.specs import CorpusSpec, FolderSource

VALID_HOURS = 0.5  # enough for a steady validation loss: some hundred utterances
LEAST_VALID, MOST_VALID = 0.001, 0.1
LITTLE_HOURS, LITTLE_VALID = 0.5, 0.2
LARGER = (0.1, 0.2, 0.3)  # tried where nothing would be held out
MOST_SPLIT = 0.8  # of the files have channels that are different sounds


@dataclass(frozen=True)
class HeldShare:
    """What a corpus will hold out."""

    fraction: Advice
    rows: tuple[ManifestRow, ...]
    train_hours: float


def choose_channels(found: Holdings) -> Advice | None:
    """What is taken of recordings with several channels; None: their mean, or they have one."""
    is_open = any(head.channels > 1 for head in found.heads) and not any(row.channel for row in found.rows)
    if is_open and found.sounds.share_apart >= MOST_SPLIT:
        return Advice("each", "the channels are different sounds, as the parties of a call: each is a recording")
    if is_open and found.sounds.share_opposite > 0:
        return Advice("first", "in some files the channels cancel each other in their mean")
    return None


def hold_out(found: Holdings, name: str, said: float | None = None) -> HeldShare:
    """The share for validation: about half an hour, and at least something. said: what a spec says that is there."""
    hours = found.hours
    usual = LITTLE_VALID if hours < LITTLE_HOURS else min(MOST_VALID, max(LEAST_VALID, VALID_HOURS / hours))
    wanted = said if said is not None else float(f"{usual:.2g}")
    given = frozenset(item.key for item in found.reading.recordings if item.split == "valid")
    keys = {item.key: item for item in found.reading.recordings}
    rows = [row for row in found.rows if keys[row.key].split != "test"]
    if found.rows and not rows:
        raise all_in_test(name, len(found.rows), found.root)
    for fraction in dict.fromkeys((wanted, *(share for share in LARGER if share > wanted))):
        try:
            made = split(rows, _spec(found, name, fraction), given)
        except BadDataError:
            continue
        valid = tuple(row for row in made.rows if row.split == "valid")
        train = found.scale * sum(row.seconds for row in made.rows if row.split == "train") / 3600
        return HeldShare(Advice(fraction, _why(made.rule, valid, given)), valid, train)
    return HeldShare(Advice(0.0, "there are too few recordings to hold any out"), (), hours)


def _why(rule: str, valid: tuple[ManifestRow, ...], given: frozenset[str]) -> str:
    if given:
        return "not used: the layout says what is held out"
    minutes = sum(row.seconds for row in valid) / 60
    return (
        f"held out: {len(valid):,} recordings, {minutes:,.1f} min, by whole {rule}"
        if rule == "speakers"
        else (f"held out: {len(valid):,} recordings, {minutes:,.1f} min")
    )


def describe_corpus(found: Holdings, name: str, path: str, held: HeldShare) -> dict[str, object]:
    """The fields of the corpus spec."""
    channels = choose_channels(found)
    lost, used = num_lost(found.reading), len(found.heads)
    fields: dict[str, object] = {
        "name": name,
        "role": "speech",
        "description": Advice(f"Speech in {found.root.name}", "for people and for the model card: say what it is"),
        "homepage": "none",
        "license": Advice("unknown", "goes into the card of every model: WRITE what you may do with this speech"),
        "citation": "none",
        "sources": [{"type": "folder", "path": Advice(path, "from the folder of this file")}],
        "layout": Advice(_layout_fields(found), found.detected.why),
        "valid_fraction": held.fraction,
        "expected_hours": Advice(round(found.hours, 3), "as found; only for estimates, it need not be exact"),
    }
    if channels:
        fields["channels"] = channels
    if lost > 0.01 * (used + lost):
        share = math.ceil(100 * lost / (used + lost) + 1) / 100
        fields["max_left_out"] = Advice(min(1.0, share), f"{lost:,} audio files are not read: LOOK why")
    return fields


def _layout_fields(found: Holdings) -> dict[str, object]:
    layout = found.detected.layout
    return {"type": layout.type} | layout.model_dump(mode="json", exclude_defaults=True)


def _spec(found: Holdings, name: str, fraction: float) -> CorpusSpec:
    return CorpusSpec(
        name=name,
        role="speech",
        description="",
        homepage="",
        license="",
        citation="",
        sources=(FolderSource(type="folder", path=str(found.root)),),
        layout=found.detected.layout,
        valid_fraction=fraction,
    )


def has_phones(recordings: tuple[Recording, ...]) -> bool:
    """Whether some recordings have timed phones."""
    return any(item.phones for item in recordings)
