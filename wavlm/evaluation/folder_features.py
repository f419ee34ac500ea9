"""Write one layer's frames of all audio files of a folder, for people's own experiments.

Parquet: `part-00000.parquet` and so on, a row per file: its path, its frames and all values, row by row. NumPy: a file
of the same name that ends in `.npy` per audio file, (F, D). `features.json` says which model, layer and folder of
audio, and when each frame is. What is there is not made again, so a run that was killed goes on, and new files are
added. Audio of another folder, or that has changed since, is refused. Parts are made by the executor in use.

Legend: N samples, F frames, D channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from wavlm.corpus.audio.formats import is_audio
from wavlm.corpus.audio.reason import AudioError, Reason, refuse
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.features.part import take_gpu
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress, no_progress
from wavlm.export import load
from wavlm.export.sources import content_of, find_model
from wavlm.features.extract import ExtractionPlan, extraction_plan, one_thread
from wavlm.features.hidden import cut_pieces, default_device, single_precision
from wavlm.features.mfcc import Floats
from wavlm.nn import WavLM
from wavlm.shards.waveform import read_whole
from wavlm.specs.frames import FrameGrid
from wavlm.storage.disk_watch import watch_disk
from wavlm.storage.files import open_atomic, sha256_of, write_json
from wavlm.storage.parquet import write_parquet

Form = Literal["parquet", "npy"]

ABOUT = "features.json"
TABLE_BYTES = 64_000_000  # of float32 frames: what is held in memory, and lost if a run is killed
PART_BYTES = 10_000_000  # of audio files: five minutes of WAV, for which a worker loads the model once
GPU_PART_BYTES = 400_000_000


@dataclass(frozen=True)
class FolderFeatures:
    """What a run found and made."""

    made: int
    there: int  # before
    refused: tuple[AudioError, ...]


@dataclass(frozen=True)
class FolderPart:
    """Audio files of which one worker writes the features."""

    model: Path
    layer: int
    folder: Path
    names: tuple[str, ...]  # of the files, below the folder
    out: Path
    form: Form
    number: int  # of its table

    def __str__(self) -> str:
        return f"features of {len(self.names)} files from {self.names[0]} on"


def write_folder_features(  # noqa: PLR0913, PLR0917 - what, of what, where, how
    model: Path,
    folder: Path,
    layer: int,
    out: Path,
    form: Form = "parquet",
    plan: ExtractionPlan | None = None,
    progress: Progress = no_progress,
) -> FolderFeatures:
    """Write the features; files that cannot be used are refused, and all others are written.

    layer: 0 is the encoder's input, n the output of layer n; the last one after the final norm, if the model has one.
    plan: how many processes there are; None: this one.
    Raises UsageError (LAYER_MISSING, OUT_EXISTS if `out` holds features of another model, layer, form or folder, or of
    files that have changed since) and BadDataError (CORPUS_EMPTY).
    """
    plan = plan or extraction_plan(1)
    with watch_disk(folder):
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if _is_audio_file(path)]
    if not names:
        raise BadDataError("CORPUS_EMPTY", f"found no audio file; at {folder}; name the folder of the audio")
    network = load(model)
    _check_layer(network, layer, model)
    _agree({"audio": str(folder.resolve()), **_describe(network, model, layer, form)}, out)
    del network  # each worker loads its own
    there = _find_there(out, form)
    _refuse_changed(names, there, folder, out)
    todo = [name for name in names if name not in there]
    first = max((_number_of(path) for path in _tables(out)), default=-1) + 1
    parts = [
        FolderPart(model, layer, folder, part, out, form, first + number)
        for number, part in enumerate(_cut(todo, folder, PART_BYTES if plan.device == "cpu" else GPU_PART_BYTES))
    ]
    found = run_parts(parts, write_part, plan.processes, progress, None if plan.device == "cpu" else take_gpu)
    refused = tuple(error for errors in found for error in errors)
    return FolderFeatures(len(todo) - len(refused), len(names) - len(todo), refused)


def write_part(part: FolderPart) -> tuple[AudioError, ...]:
    """Write the features of some files; why others cannot be used."""
    compute = _Layer(load(part.model).to(default_device()).eval(), part.layer)
    refused: list[AudioError] = []
    rows: list[tuple[str, Floats]] = []
    num_tables = 0
    with one_thread():
        for name in part.names:
            try:
                rows.append((name, compute(part.folder / name)))
            except AudioError as error:
                refused.append(error)
            if sum(values.nbytes for _, values in rows) >= TABLE_BYTES:
                _write(rows, part, num_tables)
                rows, num_tables = [], num_tables + 1
    _write(rows, part, num_tables)
    return tuple(refused)


def _is_audio_file(path: Path) -> bool:
    return path.is_file() and is_audio(path)


def _cut(names: Sequence[str], folder: Path, most_bytes: int) -> Iterator[tuple[str, ...]]:
    """Consecutive files, cut behind the one with which they have so many bytes."""
    part: list[str] = []
    size = 0
    for name in names:
        part.append(name)
        size += (folder / name).stat().st_size
        if size >= most_bytes:
            yield tuple(part)
            part, size = [], 0
    if part:
        yield tuple(part)


@dataclass(frozen=True)
class _Layer:
    """From an audio file to the frames of one layer. Each file is computed alone, so none depends on another."""

    network: WavLM
    layer: int

    def __call__(self, path: Path) -> Floats:
        grid = FrameGrid.of(self.network.network)
        waveform = read_whole(path, grid.sample_rate_hz)
        if not grid.count(len(waveform)):
            raise refuse(Reason.TOO_SHORT, f"{len(waveform)} samples give no frame", str(path))
        pieces = [self._compute(piece) for piece in cut_pieces(waveform, grid=grid)]
        found: Floats = np.concatenate(pieces)
        return found

    def _compute(self, piece: Floats) -> Floats:
        device = next(self.network.parameters()).device
        batch = torch.from_numpy(np.ascontiguousarray(piece))[None].to(device)
        with torch.inference_mode(), single_precision():
            state = self.network.hidden_states(batch, num_layers=self.layer)[self.layer]
            if self.layer == self.network.network.num_layers:
                state = self.network.encoder.final(state)
            found: Floats = state[0].float().cpu().numpy()  # (F, D)
        return found


def _check_layer(network: WavLM, layer: int, model: Path) -> None:
    if not 0 <= layer <= network.network.num_layers:
        raise UsageError(
            "LAYER_MISSING",
            f"found layer {layer}, expected 0 to {network.network.num_layers}; at --layer; {model} has no other",
        )


def _describe(network: WavLM, model: Path, layer: int, form: Form) -> dict[str, str | int | float]:
    grid = FrameGrid.of(network.network)
    return {
        "model": content_of(find_model(model), sha256_of),
        "layer": layer,
        "form": form,
        "channels": network.network.width,
        "dtype": "float32",
        "frame_rate_hz": float(grid.rate_hz),
        "first_frame_seconds": grid.window_samples / 2 / grid.sample_rate_hz,
        "frame_seconds": grid.hop_samples / grid.sample_rate_hz,
        "times": "frame t is centred on first_frame_seconds + t * frame_seconds",
    }


def _agree(about: dict[str, str | int | float], out: Path) -> None:
    """Write what the folder holds, or compare it with what it says already."""
    path = out / ABOUT
    if path.is_file():
        found = json.loads(path.read_text())
        other = sorted(name for name in about if found.get(name) != about[name])
        if other:
            raise UsageError(
                "OUT_EXISTS",
                f"the folder holds other features: {', '.join(f'{name} is {found.get(name)}' for name in other)}; at "
                f"{path}; name a new folder, or correct `audio` there if the same files were only moved",
            )
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError("OUT_EXISTS", f"there is something in the folder already; at {out}; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def _find_there(out: Path, form: Form) -> dict[str, int]:
    """When features that are there were written (ns), by the names that their audio files have below their folder."""
    if form == "npy":
        every = out.rglob("*.npy")
        return {path.relative_to(out).as_posix().removesuffix(".npy"): path.stat().st_mtime_ns for path in every}
    found: dict[str, int] = {}
    for path in _tables(out):
        names = pq.read_table(path, columns=["file"])["file"].to_pylist()
        found |= dict.fromkeys(names, path.stat().st_mtime_ns)
    return found


def _refuse_changed(names: Sequence[str], there: Mapping[str, int], folder: Path, out: Path) -> None:
    """Raise UsageError (OUT_EXISTS) for audio that was written after its features were.

    By the time of the last change of a file's entry, which a copy cannot set back as it can that of its content.
    """
    changed = [name for name in names if name in there and (folder / name).stat().st_ctime_ns > there[name]]
    if changed:
        raise UsageError(
            "OUT_EXISTS",
            f"{len(changed)} audio files were written after their features, such as {changed[0]}; at {out}; name a new "
            "folder, or delete these features",
        )


def _tables(out: Path) -> Iterator[Path]:
    yield from sorted(out.glob("part-*.parquet"))


def _number_of(table: Path) -> int:
    """The number of the part that a table is of."""
    return int(table.stem.split("-")[1])


def _write(rows: Sequence[tuple[str, Floats]], part: FolderPart, number: int) -> None:
    """Write some rows of a part; `number` counts its tables."""
    if part.form == "npy":
        for name, values in rows:
            path = part.out / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_atomic(path) as file:
                np.save(file, values, allow_pickle=False)
    elif rows:
        columns = {
            "file": pa.array([name for name, _ in rows], pa.string()),
            "frames": pa.array([len(values) for _, values in rows], pa.int64()),
            "values": pa.array([values.ravel() for _, values in rows], pa.list_(pa.float32())),
        }
        table = pa.table(columns).replace_schema_metadata({"features": (part.out / ABOUT).read_text()})
        write_parquet(part.out / f"part-{part.number:05d}{f'-{number}' if number else ''}.parquet", table)
