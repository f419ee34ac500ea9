"""Write one layer's frames of all audio files of a folder, for people's own experiments.

Parquet: `part-00000.parquet` and so on, a row per file: its path, its frames and all values, row by row. NumPy: a file
of the same name that ends in `.npy` per audio file, (F, D). `features.json` says which model and layer, and when each
frame is. What is there is not made again, so a run that was killed goes on, and new files are added.

Legend: N samples, F frames, D channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
from wavlm.execution.progress import Progress, no_progress
from wavlm.export import load
from wavlm.export.sources import content_of, find_model
from wavlm.features.hidden import cut_pieces, default_device, single_precision
from wavlm.features.mfcc import Floats
from wavlm.nn import WavLM
from wavlm.shards.waveform import read_whole
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ
from wavlm.specs.shapes import WINDOW_SAMPLES, num_frames
from wavlm.storage.files import atomic_path, sha256_of, write_json
from wavlm.storage.parquet import write_parquet

Form = Literal["parquet", "npy"]

ABOUT = "features.json"
PART_BYTES = 64_000_000  # of float32 frames: a part is what is held in memory, and lost if a run is killed


@dataclass(frozen=True)
class FolderFeatures:
    """What a run found and made."""

    made: int
    there: int  # before
    refused: tuple[AudioError, ...]


def write_folder_features(
    model: Path, folder: Path, layer: int, out: Path, form: Form = "parquet", progress: Progress = no_progress
) -> FolderFeatures:
    """Write the features; files that cannot be used are refused, and all others are written.

    layer: 0 is the encoder's input, n the output of layer n; the last one after the final norm, if the model has one.
    Raises UsageError (LAYER_MISSING, OUT_EXISTS if `out` holds features of another model, layer or form) and
    BadDataError (CORPUS_EMPTY).
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_audio(path)]
    if not files:
        raise BadDataError("CORPUS_EMPTY", f"found no audio file; at {folder}; name the folder of the audio")
    network = load(model)
    _check_layer(network, layer, model)
    _agree(_describe(network, model, layer, form), out)
    there = _find_there(out, form)
    names = {path: path.relative_to(folder).as_posix() for path in files}
    todo = [path for path in files if names[path] not in there]
    compute = _Layer(network.to(default_device()).eval(), layer)
    refused: list[AudioError] = []
    rows: list[tuple[str, Floats]] = []
    for number, path in enumerate(todo):
        progress(number, len(todo))
        try:
            rows.append((names[path], compute(path)))
        except AudioError as error:
            refused.append(error)
        if sum(values.nbytes for _, values in rows) >= PART_BYTES:
            _write(rows, out, form)
            rows = []
    _write(rows, out, form)
    progress(len(todo), len(todo))
    return FolderFeatures(len(todo) - len(refused), len(files) - len(todo), tuple(refused))


@dataclass(frozen=True)
class _Layer:
    """From an audio file to the frames of one layer. Each file is computed alone, so none depends on another."""

    network: WavLM
    layer: int

    def __call__(self, path: Path) -> Floats:
        waveform = read_whole(path)
        if not num_frames(len(waveform)):
            raise refuse(Reason.TOO_SHORT, f"{len(waveform)} samples give no frame", str(path))
        pieces = [self._compute(piece) for piece in cut_pieces(waveform)]
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
    return {
        "model": content_of(find_model(model), sha256_of),
        "layer": layer,
        "form": form,
        "channels": network.network.width,
        "dtype": "float32",
        "frame_rate_hz": SAMPLE_RATE_HZ / HOP_SAMPLES,
        "first_frame_seconds": WINDOW_SAMPLES / 2 / SAMPLE_RATE_HZ,
        "frame_seconds": HOP_SAMPLES / SAMPLE_RATE_HZ,
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
                f"{path}; name a new folder",
            )
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError("OUT_EXISTS", f"there is something in the folder already; at {out}; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def _find_there(out: Path, form: Form) -> set[str]:
    """The audio files whose features are there, by the names that they have below their folder."""
    if form == "npy":
        return {path.relative_to(out).as_posix().removesuffix(".npy") for path in out.rglob("*.npy")}
    found: set[str] = set()
    for path in _parts(out):
        found.update(pq.read_table(path, columns=["file"])["file"].to_pylist())
    return found


def _parts(out: Path) -> Iterator[Path]:
    yield from sorted(out.glob("part-*.parquet"))


def _write(rows: Sequence[tuple[str, Floats]], out: Path, form: Form) -> None:
    if form == "npy":
        for name, values in rows:
            path = out / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, values, allow_pickle=False)
    elif rows:
        number = max((int(path.stem.removeprefix("part-")) for path in _parts(out)), default=-1) + 1
        columns = {
            "file": pa.array([name for name, _ in rows], pa.string()),
            "frames": pa.array([len(values) for _, values in rows], pa.int64()),
            "values": pa.array([values.ravel() for _, values in rows], pa.list_(pa.float32())),
        }
        table = pa.table(columns).replace_schema_metadata({"features": (out / ABOUT).read_text()})
        write_parquet(out / f"part-{number:05d}.parquet", table)
