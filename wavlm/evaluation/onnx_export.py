"""Export a model to ONNX, and measure on real speech how far the files' frames lie from those of torch.

Legend: N samples, F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from wavlm.corpus.audio.formats import is_audio
from wavlm.errors import BadDataError, UsageError
from wavlm.export import load
from wavlm.export.onnx.card import onnx_card
from wavlm.export.onnx.facts import (
    ABOUT,
    CARD_FILE,
    LAST,
    OPSET,
    Drift,
    Heard,
    LayerDrift,
    OnnxFacts,
    output_of,
)
from wavlm.export.onnx.run import OnnxNetwork
from wavlm.export.onnx.write import check_layers, outputs_of, write_int8, write_onnx
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.labels.kmeans import cluster
from wavlm.nn import WavLM
from wavlm.rng import rng_for
from wavlm.shards.waveform import read_whole
from wavlm.specs import ConvLayer
from wavlm.specs.frames import sample_rate_of
from wavlm.specs.shapes import num_frames
from wavlm.storage.files import sha256_of, write_json, write_text

MOST_FRAMES = 6000  # two minutes at 50 Hz; all layers of Large are 600 MB
MOST_SECONDS = 15  # of one file
CLUSTERS, FRAMES_PER_CLUSTER = 100, 30


def export_onnx(
    model: Path, out: Path, layers: Sequence[int] | None = None, *, int8: bool = False, speech: Path | None = None
) -> OnnxFacts:
    """Write `model.onnx`, `model.int8.onnx` if it is wanted, `README.md` and, last, `onnx.json` into a new folder.

    layers: the states that the graph gives beside the last one; None: all.
    speech: a folder of audio on which drift is measured; None: the card says that it is not measured.
    Raises UsageError (OUT_EXISTS, LAYER_MISSING), BadDataError (CORPUS_EMPTY) and ServiceMissingError.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError("OUT_EXISTS", f"there is something in the folder already; at {out}; name a new folder")
    network = load(model)
    rate_hz = sample_rate_of(network.network)
    utterances = None if speech is None else _read(speech, network.network.conv_layers, rate_hz)
    wanted = check_layers(network, range(network.network.num_layers + 1) if layers is None else layers)
    files = [write_onnx(network, out, wanted)]
    files += [write_int8(out)] if int8 else []
    facts = OnnxFacts(
        opset=OPSET,
        outputs=outputs_of(wanted),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        megabytes={path.name: round(sum(it.stat().st_size for it in _with_data(path)) / 1e6, 3) for path in files},
        sha256={it.name: sha256_of(it) for path in files for it in _with_data(path)},
    )
    if speech is not None and utterances is not None:
        facts = _with_drift(facts, network, utterances, out, speech.name)
    write_text(out / CARD_FILE, onnx_card(model.stem, network.network, facts, rate_hz))
    write_json(out / ABOUT, facts.model_dump(mode="json"))
    return facts


def _with_data(path: Path) -> list[Path]:
    """A file and the one with its weights, if there is one."""
    return [it for it in (path, path.with_name(f"{path.name}.data")) if it.exists()]


def _read(folder: Path, conv_layers: Sequence[ConvLayer], sample_rate_hz: int) -> list[Floats]:
    """Waveforms of a folder in an order by chance, until they have enough frames."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_audio(path)]
    found: list[Floats] = []
    count = 0
    for place in rng_for(0, "onnx-drift").permutation(len(paths)):
        waveform = read_whole(paths[place], sample_rate_hz)[: MOST_SECONDS * sample_rate_hz]
        if frames := num_frames(len(waveform), conv_layers):
            found.append(waveform)
            count += frames
        if count >= MOST_FRAMES:
            break
    if count < 2 * FRAMES_PER_CLUSTER:
        raise BadDataError(
            "CORPUS_EMPTY",
            f"found {len(paths)} audio files with {count} frames, expected {2 * FRAMES_PER_CLUSTER} frames or more; at "
            f"{folder}; name a folder with speech",
        )
    return found


def _with_drift(facts: OnnxFacts, network: WavLM, utterances: Sequence[Floats], out: Path, speech: str) -> OnnxFacts:
    ours = _join(_torch_states(network, waveform, facts.outputs[:-1]) for waveform in utterances)
    num_clusters = max(2, min(CLUSTERS, len(ours[LAST]) // FRAMES_PER_CLUSTER))
    books = {name: Centroids(_fit(frames, num_clusters)) for name, frames in ours.items()}
    drifts = []
    for file in facts.megabytes:
        theirs = _join(map(OnnxNetwork(out / file).states_of, utterances))
        rows = tuple(_compare(name, ours[name], theirs[name], books[name]) for name in ours)
        drifts.append(Drift(file=file, outputs=rows))
    heard = Heard(folder=speech, files=len(utterances), frames=len(ours[LAST]), clusters=num_clusters)
    return facts.model_copy(update={"heard": heard, "drift": tuple(drifts)})


def _torch_states(network: WavLM, waveform: Floats, outputs: Sequence[str]) -> dict[str, Floats]:
    """Torch's frames (F, D) of each output, as `wavlm.load` gives them."""
    with torch.inference_mode():
        states = network.hidden_states(torch.from_numpy(waveform))
        named = {output_of(layer): state for layer, state in enumerate(states)}
        named[LAST] = network.encoder.final(states[-1])
    return {name: named[name].numpy() for name in outputs}


def _join(found: Iterator[dict[str, Floats]] | map[dict[str, Floats]]) -> dict[str, Floats]:
    rows = list(found)
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _fit(frames: Floats, num_clusters: int) -> Floats:
    return cluster(frames, num_clusters, iterations=10, redo=1, seed=0).centroids


def _compare(name: str, ours: Floats, theirs: Floats, book: Centroids) -> LayerDrift:
    difference = theirs.astype(np.float64) - ours
    return LayerDrift(
        output=name,
        largest_difference=float(np.abs(difference).max()),
        relative_difference=float(np.linalg.norm(difference) / np.linalg.norm(ours)),
        labels_kept=float((book.search(ours)[0] == book.search(theirs)[0]).mean()),
    )
