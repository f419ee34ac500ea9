"""Make a folder of simulated conversations, which is read as any corpus of conversations.

| in the folder | |
|---|---|
| `corpus/<part>/<name>.flac` | the conversations, 16 kHz mono |
| `corpus/<part>.rttm` | who speaks when |
| `<simulation>.yaml` | the spec of this corpus: copy it to a folder `corpora` beside your recipe |
| `tracks/<part>/<name>/<number>.flac` | if asked for: each speaker, and the noise; their sum is the conversation |
| `tracks/<part>.tsv` | whose track is which |
| `listen/` | a few conversations and their tracks as WAV, with labels that Audacity opens |
| `simulation.json` | what came out; written last |

A folder that was left half made is gone on with. The same spec, seed and corpora give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from wavlm.corpus.layouts.rttm_lines import to_rttm
from wavlm.errors import BadDataError, Code, UsageError
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress, no_progress
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.conversations.draw import DrawnConversation, SourceUtterance, deal_speakers, draw_conversation
from wavlm.mixing.conversations.facts import SimulationFacts
from wavlm.mixing.conversations.measure import measure_part
from wavlm.mixing.conversations.render import Rendered, render
from wavlm.shards import Reader
from wavlm.shards.flac import PCM16_SCALE, Pcm16, Waveform, encode_flac
from wavlm.specs import SAMPLE_RATE_HZ, CorpusSpec
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.simulation import SimulationSpec
from wavlm.storage.files import atomic_path, open_atomic, write_json, write_text

FACTS, BEGUN = "simulation.json", ".begun"
FORMAT = 1  # raised when the same spec comes to mean other bytes
PER_WORKER = 8  # conversations of one piece of work
TO_LISTEN = 4  # conversations of each part
DECIMALS = 6  # of times in RTTM: a sample is 0.0000625 s


@dataclass(frozen=True)
class Folders:
    """The shards that conversations are made of."""

    speech: Mapping[str, Path]  # by the name of the corpus
    noise: Sequence[Path] = ()
    rooms: Sequence[Path] = ()
    keys: Sequence[str] = ()  # of all of them


@dataclass(frozen=True)
class _Piece:
    """Some conversations of one part."""

    part: str
    numbers: tuple[int, ...]


def build_conversations(
    spec: SimulationSpec, folders: Folders, out: Path, workers: int = 1, progress: Progress = no_progress
) -> SimulationFacts:
    """Fill `out`; what is there is kept.

    Raises UsageError (OUT_EXISTS) if it holds something else, and BadDataError: SPLIT_EMPTY for too few speakers,
    TARGET_BAD for speakers without sound.
    """
    identity = [FORMAT, canonical(spec), list(folders.keys)]
    key = key_of(json.loads(json.dumps(identity)))
    if (found := _begin(out, key)) is not None:
        return found
    sources = _find_sources(folders.speech)
    dealt = deal_speakers(spec, sorted(sources))
    pieces = [
        _Piece(part, tuple(range(first, min(first + PER_WORKER, count))))
        for part, (count, _) in dealt.items()
        for first in range(0, count, PER_WORKER)
    ]
    of_part = {part: {name: sources[name] for name in names} for part, (_, names) in dealt.items()}
    made = run_parts(
        pieces,
        partial(_make, spec=spec, folders=folders, sources=of_part, out=out),
        min(workers, len(pieces)),
        progress,
    )
    drawn = [item for piece in made for item in piece]
    facts = SimulationFacts(key=key, **{part: measure_part([it for it in drawn if it.part == part]) for part in dealt})
    _write_tables(spec, drawn, out)
    write_json(out / FACTS, facts.model_dump(mode="json"))
    return facts


def read_corpus_spec(out: Path) -> CorpusSpec:
    """The spec of the corpus that a complete folder of conversations is."""
    (path,) = out.glob("*.yaml")
    return CorpusSpec.model_validate_json(path.read_bytes())


def _begin(out: Path, key: str) -> SimulationFacts | None:
    """What the folder holds if it is complete; None if it is to be made, or gone on with."""
    begun = out / BEGUN
    if out.is_dir() and any(out.iterdir()):
        found = begun.read_text().strip() if begun.is_file() else "something else"
        if found != key:
            raise UsageError(
                Code.OUT_EXISTS,
                f"the folder holds {found}, this simulation has the key {key}; at {out}; name a new folder",
            )
        if (out / FACTS).is_file():
            return SimulationFacts.model_validate_json((out / FACTS).read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    write_text(begun, f"{key}\n")
    return None


def _find_sources(speech: Mapping[str, Path]) -> dict[str, list[SourceUtterance]]:
    """The utterances of each speaker, whose names begin with the corpus. Raises BadDataError for unknown speakers."""
    sources: dict[str, list[SourceUtterance]] = {}
    for folder, (corpus, path) in enumerate(speech.items()):
        index = Reader(path).index
        for row, speaker in enumerate(index.speakers):
            if speaker == "unknown":
                raise BadDataError(
                    Code.TARGET_MISSING,
                    f"the utterance {index.keys[row]} has no known speaker; in the corpus {corpus}; use a corpus or a "
                    "layout that names speakers",
                )
            name = f"{corpus}/{speaker}"
            sources.setdefault(name, []).append(SourceUtterance(folder, row, name, 0, int(index.samples[row])))
    return sources


@dataclass(frozen=True)
class _Loader:
    """Reads utterances."""

    readers: Sequence[Reader]

    def __call__(self, utterance: SourceUtterance) -> Waveform:
        return self.readers[utterance.folder].read(utterance.row, utterance.start, utterance.stop)


def _make(
    piece: _Piece,
    spec: SimulationSpec,
    folders: Folders,
    sources: Mapping[str, Mapping[str, Sequence[SourceUtterance]]],
    out: Path,
) -> list[DrawnConversation]:
    """Draw the conversations of a piece, and write the audio of those that are not there."""
    load = _Loader([Reader(path) for path in folders.speech.values()])
    split = "train" if piece.part == "train" else "valid"
    rooms = AudioPool(folders.rooms, split) if folders.rooms else None  # type: ignore[arg-type]
    noise = AudioPool(folders.noise, split) if folders.noise else None  # type: ignore[arg-type]
    drawn = []
    for number in piece.numbers:
        name = f"{spec.name}-{piece.part}-{number:06d}"
        it = draw_conversation(spec, name, piece.part, sources[piece.part], load)
        path = _path(out, it)
        is_heard = number < TO_LISTEN
        if not path.exists():
            rendered = render(it, load, rooms, noise)
            if spec.tracks:
                _write_tracks(out, it, rendered)
            if is_heard:
                _write_listening(out / "listen", it, rendered)
            _write_flac(path, rendered.mixture)  # last: what is there has its tracks
        drawn.append(it)
    return drawn


def _path(out: Path, drawn: DrawnConversation) -> Path:
    return out / "corpus" / drawn.part / f"{drawn.name}.flac"


def _write_flac(path: Path, pcm: Pcm16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as file:
        file.write(encode_flac(pcm * PCM16_SCALE))


def _write_tracks(out: Path, drawn: DrawnConversation, rendered: Rendered) -> None:
    for number, track in enumerate(rendered.tracks.values(), 1):
        _write_flac(out / "tracks" / drawn.part / drawn.name / f"{number}.flac", track)


def _write_listening(folder: Path, drawn: DrawnConversation, rendered: Rendered) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sounds = {"": rendered.mixture, **rendered.tracks}
    for name, pcm in sounds.items():
        ending = f".{name.replace('/', '-')}" if name else ""
        with atomic_path(folder / f"{drawn.name}{ending}.wav") as temporary:
            soundfile.write(temporary, pcm, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
    labels = "".join(f"{start_s:.6f}\t{end_s:.6f}\t{speaker}\n" for start_s, end_s, speaker in drawn.turns)
    write_text(folder / f"{drawn.name}.txt", labels)


def _write_tables(spec: SimulationSpec, drawn: Sequence[DrawnConversation], out: Path) -> None:
    for part in dict.fromkeys(it.part for it in drawn):
        chosen = [it for it in drawn if it.part == part]
        write_text(out / "corpus" / f"{part}.rttm", "".join(to_rttm(it.name, it.turns, DECIMALS) for it in chosen))
        if spec.tracks:
            rows = [
                f"{it.name}\t{number}.flac\t{name}\n"
                for it in chosen
                for number, name in enumerate((*it.speakers, *(("noise",) if it.noise else ())), 1)
            ]
            write_text(out / "tracks" / f"{part}.tsv", "".join(("conversation\tfile\tspeaker\n", *rows)))
    write_text(out / f"{spec.name}.yaml", _corpus_spec(spec, out))


def _corpus_spec(spec: SimulationSpec, out: Path) -> str:
    fields = {
        "name": spec.name,
        "role": "evaluation",
        "description": f"Simulated conversations: {spec.description}",
        "license": "; ".join(dict.fromkeys(it.license for it in (*spec.corpora, *spec.noise, *spec.rooms))),
        "citation": "; ".join(dict.fromkeys(it.citation for it in (*spec.corpora, *spec.noise, *spec.rooms))),
        "homepage": spec.corpora[0].homepage,
        "sources": [{"type": "folder", "path": str(out.absolute() / "corpus")}],
        "layout": {"type": "rttm", "partition_pattern": "(?P<part>train|dev|test)/"},
    }
    return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"
