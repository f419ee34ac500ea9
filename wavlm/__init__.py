"""Pre-train WavLM: from raw speech corpora to a model that others can load.

`import wavlm` is light; `wavlm.load`, `wavlm.plan` and `wavlm.read_recipe` import what they need
when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavlm.export import load as load
    from wavlm.pipeline.plan import plan as plan
    from wavlm.specs.yaml import read_recipe as read_recipe

_HOMES = {"load": "wavlm.export", "plan": "wavlm.pipeline.plan", "read_recipe": "wavlm.specs.yaml"}

__all__ = ["load", "plan", "read_recipe"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wavlm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
