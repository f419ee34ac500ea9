"""What was found, in words: lines for a table, and remarks about what a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wavlm.corpus.layouts import describe_losses
from wavlm.pipeline.init.corpus_advice import choose_channels
from wavlm.pipeline.init.look import EXAMPLES, Holdings, describe_problems
from wavlm.storage.encoding import printable

MOST_NAMES = 6  # per line
ESTIMATED = " (some lengths estimated by the size of files)"


def describe_found(found: Holdings) -> list[tuple[str, str]]:
    """Lines of a table: what, and how much of it."""
    good = [head for head in found.heads if not head.problem]
    lengths = found.lengths
    quantiles = np.quantile(lengths, (0.0, 0.05, 0.5, 0.95, 1.0))
    lines = [
        ("layout", f"{found.detected.layout.type}: {found.detected.why}"),
        ("recordings", f"{len(found.rows):,} in {len(good):,} files"),
        ("hours", f"{found.hours:,.2f}{ESTIMATED if found.is_estimated else ''}"),
        ("length", "shortest {:.2f} s, 5 % below {:.1f} s, half below {:.1f} s, 95 % below {:.1f} s, longest {:,.1f} s"
         .format(*quantiles)),
        ("formats", _count(Counter(head.kind for head in good))),
        ("sample rates", _count(Counter(f"{head.sample_rate_hz:,} Hz" for head in good))),
        ("channels", _count(Counter(str(head.channels) for head in good))),
        ("speakers", f"{found.speakers:,}" if found.speakers else "not known"),
    ]  # fmt: skip
    if any(row.language for row in found.rows):
        lines.append(("languages", _hours(found.hours_by(row.language or "not known" for row in found.rows))))
    lines.append(("pauses", f"{found.sounds.pauses:.0%} of the time, in {len(found.sounds.heard)} files"))
    return lines


def remark(found: Holdings) -> Iterator[str]:
    """What a person should look at before training."""
    sounds, heard = found.sounds, len(found.sounds.heard)
    if found.broken:
        yield f"cannot be used: {describe_problems(found.broken)}"
    faulty = [file for file in sounds.files if file.problem]
    for what, names in (
        ("do not decode", [file.path for file in faulty]),
        ("hold no sound", sounds.silent),
        ("are clipped, as when recorded too loud", sounds.clipped),
        ("have an offset (DC)", sounds.shifted),
        ("hold only what a telephone passes, up to 4 kHz, although their rate is higher", found.telephone),
    ):
        if names:
            yield f"{len(names)} of {heard + len(faulty)} files that were listened to {what}: {_examples(names)}"
    if sounds.share_apart and choose_channels(found) is None:
        yield (f"the channels of {sounds.share_apart:.0%} of the files are different sounds: give `channels: each` if "
               "each is a speaker of its own")  # fmt: skip
    if unlisted := found.reading.files.count("unlisted"):
        yield f"{unlisted:,} audio files of the folder are not read, because no manifest names them"
    yield from (f"of the folder: {line}" for line in describe_losses(found.reading.files, found.reading.tables))
    yield from found.detected.remarks


def _count(counts: Counter[str]) -> str:
    return _join([f"{name} {count:,}" for name, count in counts.most_common()])


def _hours(hours: Mapping[str, float]) -> str:
    return _join([f"{printable(name)} {value:,.2f} h" for name, value in hours.items()])


def _join(items: Sequence[str]) -> str:
    more = f", and {len(items) - MOST_NAMES} more" if len(items) > MOST_NAMES else ""
    return ", ".join(items[:MOST_NAMES]) + more


def _examples(paths: Sequence[str]) -> str:
    return ", ".join(printable(path.rpartition("/")[2]) for path in paths[:EXAMPLES])
