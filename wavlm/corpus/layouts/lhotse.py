"""Layout of lhotse's manifests: recordings, supervisions and cuts, as JSONL (https://lhotse.readthedocs.io).

Channels count from 0 there and from 1 here. A recording may have its channels in several files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.json_lines import Object, parse_json_lines
from wavlm.corpus.layouts.lhotse_audio import Audio, regions, to_audio, to_list
from wavlm.corpus.layouts.manifests import Listing, Manifest, check_listed, find_manifests
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, to_name, to_text
from wavlm.corpus.layouts.table import table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.manifests import LhotseLayout

Kind = Literal["recordings", "supervisions", "cuts"]
CUTS = ("MonoCut", "MultiCut")
WRITE_AUDIO = "write the audio first, as CutSet.save_audios does, and list what it returns"


class Said(TypedDict):
    """What supervisions say besides the text, as the fields of a row."""

    speaker: str
    language: str


def read_lhotse(layout: LhotseLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the cuts, supervisions or recordings; with several channels or files, and the channel."""
    listing = Listing(tree, layout.max_left_over_rows, layout.audio_root)
    groups: dict[str | None, dict[Kind, list[Manifest]]] = defaultdict(lambda: defaultdict(list))
    for manifest in find_manifests(layout, tree):
        groups[manifest.split][_kind_of(tree.root / manifest.path)].append(manifest)
    for group in groups.values():
        _Group(layout, tree, listing, group).read()
    yield from listing.recordings()


class _Group:
    """The manifests of one split: cuts, or recordings with or without supervisions."""

    def __init__(
        self, layout: LhotseLayout, tree: Tree, listing: Listing, manifests: Mapping[Kind, Sequence[Manifest]]
    ) -> None:
        self._tree, self._listing, self._manifests = tree, listing, manifests
        self._bound = layout.max_left_over_rows

    def read(self) -> None:
        """Hand all rows to the listing. Raises BadDataError (LAYOUT, TABLE_JOIN)."""
        cuts, others = self._of("cuts"), [*self._of("supervisions"), *self._of("recordings")]
        if cuts and others:
            what = f"it would be read beside the cuts of {cuts[0].path}, which have their recordings in them"
            raise table_fault(self._where(others[0]), 0, what, "name either cuts or the others in the corpus spec")
        for manifest in cuts:
            self._listing.take(manifest, parse_json_lines(self._where(manifest), _cut))
        if self._of("supervisions"):
            self._read_supervisions()
        else:
            for manifest in self._of("recordings"):
                self._listing.take(manifest, parse_json_lines(self._where(manifest), _recording))

    def _read_supervisions(self) -> None:
        audio: dict[str, Audio] = {}
        for manifest in self._of("recordings"):
            audio.update(self._recordings(manifest))
        named: set[str] = set()

        def parse(line: int, row: Object) -> Iterable[Entry]:
            name = to_text(row.get("recording_id"))
            named.add(name)
            return _supervision(line, row, audio.get(name))

        for manifest in self._of("supervisions"):
            rows = parse_json_lines(self._where(manifest), parse)
            self._listing.take(manifest, rows, lambda: len(audio.keys() - named))

    def _recordings(self, manifest: Manifest) -> dict[str, Audio]:
        """The recordings of a manifest by name. Adds its account to the tree."""
        tally, found = Tally(str(manifest.path)), {}

        def parse(line: int, row: Object) -> Iterable[Audio]:
            audio = to_audio(row)
            if audio.name in found:
                raise RowError(f"recording {audio.name} stands in an earlier line, too", "delete one of the lines")
            found[audio.name] = audio
            paths = [self._listing.places.find(file.path, manifest.folder) for file in audio.files]
            tally.add("left over" if None in paths else "path", audio.name, line)
            return (audio,)

        for _ in parse_json_lines(self._where(manifest), parse):
            pass
        self._tree.tables.append(check_listed(self._where(manifest), tally.account(0), self._bound))
        return found

    def _of(self, kind: Kind) -> Sequence[Manifest]:
        return self._manifests.get(kind, ())

    def _where(self, manifest: Manifest) -> Path:
        return self._tree.root / manifest.path


def _kind_of(path: Path) -> Kind:
    """What a manifest holds, by its first object."""
    first = next(parse_json_lines(path, lambda _, row: (row,)), None)
    if first is None:
        raise table_fault(path, 0, "it has no rows", "remove it from the corpus spec, or make it again")
    if "storage_path" in first:
        raise table_fault(path, 1, "features are no audio", "name cuts, recordings or supervisions")
    if "recording_id" in first:
        return "supervisions"
    return "recordings" if "sources" in first else "cuts"


def _recording(line: int, row: Object) -> Iterator[Entry]:
    audio = to_audio(row)
    for name, region in regions(audio, audio.name, 0.0, audio.seconds, audio.channels):
        yield Entry(line=line, name=name, **region)


def _supervision(line: int, row: Object, audio: Audio | None) -> Iterator[Entry]:
    name = to_text(row.get("id"))
    if not name:
        raise RowError("a supervision without id", "give each a name")
    said = Said(speaker=to_name(row.get("speaker")), language=to_name(row.get("language")))
    text = None if row.get("text") is None else to_text(row["text"])
    if audio is None:
        yield Entry(line, to_text(row.get("recording_id")), name, text=text, is_missing=True, **said)
        return
    for key, region in regions(audio, name, row.get("start"), row.get("duration"), row.get("channel")):
        yield Entry(line=line, name=key, text=text, **said, **region)


def _cut(line: int, row: Object) -> Iterator[Entry]:
    kind = row.get("type")
    if kind not in CUTS:
        raise RowError(f"a {kind or 'line'} is no part of one recording", WRITE_AUDIO)
    if not isinstance(row.get("recording"), dict):
        raise RowError("a cut without a recording", WRITE_AUDIO)
    name = to_text(row.get("id"))
    spoken = sorted(to_list(row.get("supervisions"), "supervisions"), key=_start)
    said = Said(speaker=_shared(spoken, "speaker"), language=_shared(spoken, "language"))
    texts = [to_text(item["text"]) for item in spoken if item.get("text") is not None]
    audio = to_audio(row["recording"])
    for key, region in regions(audio, name, row.get("start"), row.get("duration"), row.get("channel")):
        yield Entry(line=line, name=key, text=" ".join(texts) if texts else None, **said, **region)


def _start(supervision: Object) -> float:
    start = supervision.get("start")
    return float(start) if isinstance(start, int | float) else 0.0


def _shared(supervisions: Iterable[Object], field: str) -> str:
    """What all supervisions of a cut say; empty if they say different things."""
    values = {to_name(item.get(field)) for item in supervisions}
    return values.pop() if len(values) == 1 else ""
