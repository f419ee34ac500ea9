"""What clustering of embeddings needs beside the system: a PLDA, and where clustering stops, in the system's folder.

`diarization.safetensors` has the PLDA, and in its header the method, the stop of each method, and the settings of VBx.
`fit_backend` makes it of recordings of known speakers, and of conversations whose turns are known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import Turn, diarization_errors
from wavlm.evaluation.tasks.activity import spoken
from wavlm.nn.files import save_tensors
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.seals import BACKEND_FILE
from wavlm.systems.diarization.plda import Plda, fit_plda
from wavlm.systems.diarization.vbx import VbxSettings
from wavlm.systems.diarization.windowed import Embed, Method, WindowClustering, WindowDiarizer, label_windows
from wavlm.systems.diarization.windows import Window, cut_windows, join_windows
from wavlm.systems.recording import RecordedSamples

FILE = BACKEND_FILE
HEADER = "clustering"
FORMAT = 2  # since 2: the settings of VBx
STOPS: dict[Method, Sequence[float]] = {
    "cosine": tuple(np.round(np.arange(0.0, 0.95, 0.05), 2).tolist()),
    "plda": tuple(float(stop) for stop in range(-20, 21, 2)),
    "vbx": tuple(np.round(np.arange(0.0, 0.85, 0.1), 2).tolist()),
}
# The authors have Fa 0.2 or 0.4, Fb 6, 17 or 64, loop 0.35, 0.4 or 0.65 for DIHARD 2, CALLHOME and AMI, with 128
# dimensions (BUTSpeechFIT/VBx, *_run.sh). A PLDA of few voices has few dimensions, and wants a smaller Fb.
VBX_TRIED: tuple[tuple[str, Sequence[float]], ...] = (
    ("regularisation", (17.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 64.0)),
    ("loop", (0.4, 0.65, 0.85, 0.95)),
    ("evidence", (0.4, 0.2, 0.8, 0.1)),
)


@dataclass(frozen=True, eq=False)
class Backend:
    """How embeddings of a system are clustered."""

    plda: Plda | None = None
    method: Method = "cosine"
    stops: dict[Method, float] = field(default_factory=dict)  # that were best on conversations
    vbx: VbxSettings = field(default_factory=VbxSettings)


@dataclass(frozen=True)
class KnownConversation:
    """A conversation whose turns are known."""

    samples: RecordedSamples
    turns: Sequence[Turn]


def fit_backend(embed: Embed, conversations: Sequence[KnownConversation], settings: WindowClustering) -> Backend:
    """The PLDA of windows in which one speaks, and the stop of each method that gives the least DER.

    The oracle says where speech is. Both see the same conversations: give it those of training or of the dev part,
    never those that are scored. Raises BadDataError (CLASS_SINGLE) for speakers that are too few for a PLDA.
    """
    embedded = [_embed(embed, it, settings) for it in conversations]
    vectors = [it.embeddings[it.names != ""] for it in embedded]
    names = [str(name) for it in embedded for name in it.names if name]
    if not names:
        raise BadDataError(
            Code.CLASS_SINGLE,
            f"in none of {len(conversations)} conversations does anybody speak alone for a window; among those that a "
            "back-end is fitted on; give other ones",
        )
    plda = fit_plda(np.concatenate(vectors), names)
    stops: dict[Method, float] = {}
    rates: dict[Method, float] = {}
    vbx = settings.vbx
    for method, tried in STOPS.items():
        if method == "vbx":
            begin = replace(settings, method=method, stop=stops["cosine"])  # it begins with clusters by cosine
            vbx = _tune_vbx(embedded, begin, plda)
        found = {stop: _rate(embedded, replace(settings, method=method, stop=stop, vbx=vbx), plda) for stop in tried}
        rates[method] = min(found.values())
        best = [stop for stop, rate in found.items() if rate <= rates[method]]
        stops[method] = best[len(best) // 2]  # the middle of them is the farthest from worse ones
    return Backend(plda, min(rates, key=lambda method: rates[method]), stops, vbx)


def write_backend(folder: Path, backend: Backend) -> None:
    """Write the file into the folder of a system."""
    plda = backend.plda
    assert plda is not None  # noqa: S101 - a fitted one has it
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(plda, name)))
        for name in ("mean", "centre", "projection", "between")
    }
    header = {"format": FORMAT, "method": backend.method, "stops": backend.stops, "vbx": asdict(backend.vbx)}
    save_tensors(tensors, folder / FILE, {HEADER: json.dumps(header)})


def read_backend(folder: Path) -> Backend:
    """The backend of a system; without its file there is no PLDA, and the cosine has its usual stop.

    Raises BadDataError (SYSTEM_BROKEN) for a file that cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return Backend()
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            plda = Plda(*(file.get_tensor(name) for name in ("mean", "centre", "projection", "between")))
        stops = {name: float(stop) for name, stop in header["stops"].items()}
        vbx = VbxSettings(**header.get("vbx", {}))  # in the first format nothing was tuned
        return Backend(plda, header["method"], stops, vbx)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadDataError(
            Code.SYSTEM_BROKEN, f"cannot be read: {error!r}; at {path}; fit it again with `wavlm diarize-fit`"
        ) from error


@dataclass(frozen=True, eq=False)
class _Embedded:
    """A conversation with the embeddings of its windows."""

    turns: Sequence[Turn]
    end_s: float
    windows: Sequence[Window]
    embeddings: Floats
    names: npt.NDArray[np.str_]  # of the one speaker of each window; empty: nobody, or several


def _embed(embed: Embed, it: KnownConversation, settings: WindowClustering) -> _Embedded:
    windows = cut_windows(spoken(it.turns), settings.window_s, settings.hop_s)
    vectors = WindowDiarizer(embed, settings).embed_windows(it.samples, windows)
    names = [_only_speaker(window, it.turns) for window in windows]
    return _Embedded(
        it.turns, it.samples.num_samples / SAMPLE_RATE_HZ, windows, vectors, np.array(names, dtype=np.str_)
    )


def _only_speaker(window: Window, turns: Sequence[Turn]) -> str:
    inside = {name for start_s, end_s, name in turns if min(end_s, window.end_s) > max(start_s, window.start_s)}
    return inside.pop() if len(inside) == 1 else ""


def _tune_vbx(embedded: Sequence[_Embedded], begin: WindowClustering, plda: Plda) -> VbxSettings:
    """Settings with the least DER, one after the other; the authors' value stays where no other one is better."""
    best = begin.vbx
    for name, values in VBX_TRIED:
        tried = [replace(best, **{name: value}) for value in values]  # type: ignore[arg-type] # all are numbers
        best = min(tried, key=lambda vbx: _rate(embedded, replace(begin, vbx=vbx), plda))
    return best


def _rate(embedded: Sequence[_Embedded], settings: WindowClustering, plda: Plda) -> float:
    """The DER over all conversations, without a collar."""
    sums = np.zeros(2)
    for it in embedded:
        found = join_windows(it.windows, label_windows(it.embeddings, settings, plda).tolist())
        sums += diarization_errors(it.turns, found, [(0.0, it.end_s)], collar_each_side_s=0.0).sums
    return float(sums[0] / sums[1])
