"""Fit the back-end of a system on a folder of conversations: audio, and RTTM files beside it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from wavlm.corpus.layouts import read_layout
from wavlm.errors import Code, UsageError
from wavlm.finetune.load import load_system
from wavlm.specs.labelled import RttmLayout
from wavlm.systems.diarization.backend import Backend, KnownConversation, fit_backend, write_backend
from wavlm.systems.diarization.from_heads import TrainedHead
from wavlm.systems.diarization.windowed import WindowClustering
from wavlm.systems.recording import open_samples


def fit_folder(folder: Path, system: Path, names: Literal["everywhere", "recording"] = "everywhere") -> Backend:
    """Fit it, and keep it in the system's folder.

    names: whether a name is one speaker in all conversations, or in its conversation alone, as in the task `sd`.

    Raises UsageError (SYSTEM_UNKNOWN) for a system that gives no embeddings, and BadDataError for RTTM files that say
    nothing usable (LAYOUT) or have too few speakers (CLASS_SINGLE).
    """
    loaded = load_system(system)
    if loaded.about.task.type != "asv":
        raise UsageError(
            Code.SYSTEM_UNKNOWN,
            f"the system {loaded.about.name} does the task {loaded.about.task.type}, expected asv: others do not "
            f"cluster windows; at {system}; name another folder",
        )
    root, layout = _find_layout(folder)
    with ExitStack() as stack:
        conversations = [
            KnownConversation(
                stack.enter_context(open_samples(root / item.path)),
                [
                    (start_s, end_s, name if names == "everywhere" else f"{item.path}/{name}")
                    for start_s, end_s, name in json.loads(item.target or "{}")["turns"]
                ],
            )
            for item in read_layout(layout, root)
        ]
        fitted = fit_backend(TrainedHead(loaded).embed, conversations, WindowClustering())
    write_backend(system, fitted)
    return fitted


def _find_layout(folder: Path) -> tuple[Path, RttmLayout]:
    """A root and how it is read. Of simulated conversations the RTTM lies beside the part: `dev.rttm` beside `dev`."""
    whole = folder.resolve()
    beside = whole.with_name(f"{whole.name}.rttm")
    if not beside.is_file() or any(whole.rglob("*.rttm")):
        return folder, RttmLayout(type="rttm")
    return whole.parent, RttmLayout(type="rttm", audio=f"{whole.name}/**/*", rttm=(beside.name,), uem=())
