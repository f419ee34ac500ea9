"""Change tables of texts and of phones at random, and see that nothing is joined that the table does not say.

A changed table must be refused with a code, or be joined. A join is silent and wrong if a recording has a text or a
phone that no row of its own holds, or if rows are missing from the account. Which rows a table has is found out here
without the reader under test: the bytes are decoded and split.
"""

from __future__ import annotations

import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from wavlm.corpus.layouts import Reading, read_layout
from wavlm.errors import CodedError
from wavlm.specs.layouts import GenericLayout

SLOW_SECONDS = 60.0  # reading a table of twelve rows takes a millisecond
RECORDINGS = ("a/001.flac", "a/002.flac", "b/001.flac", "b/003.wav", "c/Zoë é.mp3", "d/x.y.ogg", "004.FLAC", "005.opus")
NAMES = ("a/001", "a/002.flac", "b/001", "003", "c/Zoë é", "d/x.y", "004", "./005.wav")
TEXTS = "\n".join(["utt_id\ttext\tspk", *(f"{name}\tTEXT {n} ž\ts{n % 3}" for n, name in enumerate(NAMES)), ""])
PHONES = "\n".join(
    [
        "utt_id\tstart_s\tend_s\tphone",
        *(f"{name}\t{t}.0\t{t + 1}.0\tP{n}" for t in (0, 1) for n, name in enumerate(NAMES)),
        "",
    ]
)
PIECES = [
    b"\0", b"\t", b"\n", b"\r", b"\xff", b'"', b"\xef\xbb\xbf", b"\xed\xa0\x80", "\u2028".encode(), "e\u0301".encode(),
    b"\x1a", b"\\", b"/", b"..", b",", b" ", b"\x85", b"\x0b", b"nan", b"inf", b"1e400", b"-1", b"0x10", b"1_0",
    b"Y" * 140_000,
]  # fmt: skip
RNG = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A changed table; None: there is no such file."""

    kind: str
    blob: bytes | None
    layout: GenericLayout


def run(count: int, seed: int) -> list[dict[str, object]]:
    """One dictionary per changed table: what was changed, and the outcome: ok, coded, crash, hang or silent."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for recording in RECORDINGS:
            (root / recording).parent.mkdir(exist_ok=True)
            (root / recording).touch()
        return [_try_out(case, root) for case in cases(count, seed)]


def cases(count: int, seed: int) -> Iterator[Case]:
    """Changed tables, the same for a seed. Texts and phones take turns, the changes are drawn."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        is_text = number % 2 == 0
        field = "transcripts" if is_text else "phones"
        columns = {"speaker_column": "spk"} if is_text and rng.random() < 0.5 else {}
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        blob: bytes | None = (TEXTS if is_text else PHONES).encode()
        for _ in range(int(rng.integers(1, 4))):
            blob = None if blob is None else change(blob, rng)
        bounds = {"max_left_over_rows": 1.0, "max_without_row": 1.0} if rng.random() < 0.7 else {}
        layout = GenericLayout.model_validate({"type": "generic", field: "t.tsv", **columns, **bounds})
        yield Case(f"{field}, {change.__name__.strip('_')}", blob, layout)


def _try_out(case: Case, root: Path) -> dict[str, object]:
    path = root / "t.tsv"
    path.unlink(missing_ok=True)
    if case.blob is not None:
        path.write_bytes(case.blob)
    begin = time.monotonic()
    try:
        problem = _find_wrong_join(case, read_layout(case.layout, root))
        outcome, detail = ("silent", problem) if problem else ("ok", "")
    except CodedError as error:
        outcome, detail = "coded", str(error)
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        outcome, detail = "crash", repr(error)
    if time.monotonic() - begin > SLOW_SECONDS:
        outcome = "hang"
    return {"kind": case.kind, "outcome": outcome, "detail": detail}


def _find_wrong_join(case: Case, found: Reading) -> str:
    """What the reader joined and the table does not say; empty if all is right."""
    assert case.blob is not None
    header, *rows = _rows(case.blob)
    (table,) = found.tables
    if table.rows != len(rows):
        return f"{table.rows} of {len(rows)} rows in the account"
    for item in found:
        mine = [row for row in rows if _may_name(row[header.index("utt_id")], item.path)]
        if item.text is not None and item.text not in {row[header.index("text")] for row in mine}:
            return f"{item.path} has the text {item.text!r}"
        phones = {row[header.index("phone")] for row in mine} if item.phones else set()
        if any(phone.phone not in phones for phone in item.phones or ()):
            return f"{item.path} has the phones {item.phones}"
    return ""


def _rows(blob: bytes) -> list[list[str]]:
    text = blob.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    header, *lines = text.split("\n")
    return [
        [name.strip("\ufeff ") for name in header.split("\t")],
        *(line.split("\t") for line in lines if line.strip()),
    ]


def _may_name(name: str, path: PurePosixPath) -> bool:
    """Whether a row may mean a recording: the same file name, and no other folder; alone only if no other has it."""
    *folders, last = [part for part in _plain(name).split("/") if part not in ("", ".")] or [""]
    own = _plain(str(path)).split("/")
    if last != own[-1]:
        return False
    if not folders:
        return [_plain(other).rpartition("/")[2] for other in RECORDINGS].count(last) == 1 or len(own) == 1
    shared = min(len(folders), len(own) - 1)
    return folders[len(folders) - shared :] == own[len(own) - 1 - shared : -1]


def _plain(name: str) -> str:
    """A path without its suffix, however it is written."""
    clean = unicodedata.normalize("NFC", name).replace("\\", "/").strip()
    suffix = PurePosixPath(clean).suffix.lower()
    return clean[: -len(suffix)] if suffix in (".flac", ".wav", ".mp3", ".ogg", ".opus") else clean


def _flip(blob: bytes, rng: RNG) -> bytes:
    changed = bytearray(blob)
    if changed:
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _insert(blob: bytes, rng: RNG) -> bytes:
    at = int(rng.integers(len(blob) + 1))
    return blob[:at] + PIECES[int(rng.integers(len(PIECES)))] + blob[at:]


def _replace_field(blob: bytes, rng: RNG) -> bytes:
    rows = [line.split(b"\t") for line in blob.split(b"\n")]
    row = rows[int(rng.integers(len(rows)))]
    row[int(rng.integers(len(row)))] = PIECES[int(rng.integers(len(PIECES)))]
    return b"\n".join(b"\t".join(fields) for fields in rows)


def _swap_fields(blob: bytes, rng: RNG) -> bytes:
    rows = [line.split(b"\t") for line in blob.split(b"\n")]
    one, other = rows[int(rng.integers(len(rows)))], rows[int(rng.integers(len(rows)))]
    one[0], other[0] = other[0], one[0]
    return b"\n".join(b"\t".join(fields) for fields in rows)


def _drop_field(blob: bytes, rng: RNG) -> bytes:
    rows = [line.split(b"\t") for line in blob.split(b"\n")]
    row = rows[int(rng.integers(len(rows)))]
    row.pop(int(rng.integers(len(row))))
    return b"\n".join(b"\t".join(fields) for fields in rows)


def _repeat_lines(blob: bytes, rng: RNG) -> bytes:
    lines = blob.split(b"\n")
    at = int(rng.integers(len(lines)))
    return b"\n".join([*lines[:at], lines[at], *lines[at : at + int(rng.integers(1, 4))], *lines[at:]])


def _cut(blob: bytes, rng: RNG) -> bytes:
    return blob[: int(rng.integers(len(blob) + 1))]


def _rename(blob: bytes, rng: RNG) -> bytes:
    old, new = [(b"a/", b"b/"), (b"/", b"\\"), (b"a/001", b"001"), (b"00", b"x/00"), (b"001", b"002"), (b".wav", b"")][
        int(rng.integers(6))
    ]
    return blob.replace(old, new)


def _encode(blob: bytes, rng: RNG) -> bytes:
    encoding = ["utf-16", "utf-32", "iso-8859-2", "utf-8-sig", "utf-16-le", "cp1250"][int(rng.integers(6))]
    return blob.decode("utf-8", "ignore").encode(encoding, "replace")


def _normalize(blob: bytes, rng: RNG) -> bytes:
    form = ["NFC", "NFD", "NFKC", "NFKD"][int(rng.integers(4))]
    return unicodedata.normalize(form, blob.decode("utf-8", "ignore")).encode()  # type: ignore[arg-type]


def _separate(blob: bytes, rng: RNG) -> bytes:
    return blob.replace(b"\t", [b",", b";", b"|", b"  ", b"\t\t"][int(rng.integers(5))])


def _end_lines(blob: bytes, rng: RNG) -> bytes:
    return blob.replace(b"\n", [b"\r", b"\r\n", b"\n\r", b"\n\n", b"\t\n", "\u2028".encode()][int(rng.integers(6))])


def _scramble(blob: bytes, rng: RNG) -> bytes:
    return rng.bytes(len(blob))


def _remove(blob: bytes, rng: RNG) -> None:
    """There is no table."""


CHANGES: list[Callable[[bytes, RNG], bytes | None]] = [
    _flip, _insert, _replace_field, _swap_fields, _drop_field, _repeat_lines, _cut, _rename, _encode, _normalize,
    _separate, _end_lines, _scramble, _remove,
]  # fmt: skip
