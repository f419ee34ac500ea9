"""Pre-train WavLM: from raw speech corpora to a model that others can load.

`import wavlm` is light. Each name below is imported when it is first used: `load` needs torch, `stream` webdataset.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavlm.export import load as load
    from wavlm.finetune.load import load_system as load_system
    from wavlm.labels.files import read_labels as read_labels
    from wavlm.pipeline.plan import plan as plan
    from wavlm.pipeline.resolve import resolve as resolve
    from wavlm.pipeline.store import Store as Store
    from wavlm.shards import Reader as Reader
    from wavlm.shards import read_index as read_index
    from wavlm.shards import stream as stream
    from wavlm.specs.shapes import num_frames as num_frames
    from wavlm.specs.yaml import read_recipe as read_recipe
    from wavlm.systems.diarization.diarize import diarize as diarize
    from wavlm.systems.separation.separate import separate as separate
    from wavlm.systems.transcription import export_recogniser as export_recogniser
    from wavlm.systems.transcription import load_decoder as load_decoder
    from wavlm.systems.transcription import transcribe as transcribe
    from wavlm.systems.verification import load_verifier as load_verifier

_HOMES = {
    "Reader": "wavlm.shards",
    "Store": "wavlm.pipeline.store",
    "diarize": "wavlm.systems.diarization.diarize",
    "export_recogniser": "wavlm.systems.transcription",
    "load": "wavlm.export",
    "load_decoder": "wavlm.systems.transcription",
    "load_system": "wavlm.finetune.load",
    "load_verifier": "wavlm.systems.verification",
    "num_frames": "wavlm.specs.shapes",
    "separate": "wavlm.systems.separation.separate",
    "plan": "wavlm.pipeline.plan",
    "read_index": "wavlm.shards",
    "read_labels": "wavlm.labels.files",
    "read_recipe": "wavlm.specs.yaml",
    "resolve": "wavlm.pipeline.resolve",
    "stream": "wavlm.shards",
    "transcribe": "wavlm.systems.transcription",
}

__all__ = [
    "Reader",
    "Store",
    "diarize",
    "export_recogniser",
    "load",
    "load_decoder",
    "load_system",
    "load_verifier",
    "num_frames",
    "plan",
    "read_index",
    "read_labels",
    "read_recipe",
    "resolve",
    "separate",
    "stream",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wavlm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
