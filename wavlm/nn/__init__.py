"""The network: a torch module that depends on no data, no trainer, and no files but its own.

The names below are imported on first use: `wavlm.nn.description` and `wavlm.nn.start` need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavlm.nn.contrast import Contrast as Contrast
    from wavlm.nn.contrast import ContrastiveTerms as ContrastiveTerms
    from wavlm.nn.description import ModelFileError as ModelFileError
    from wavlm.nn.files import load_model as load_model
    from wavlm.nn.files import save_model as save_model
    from wavlm.nn.head import LossTerms as LossTerms
    from wavlm.nn.wavlm import WavLM as WavLM
    from wavlm.specs.shapes import num_frames as num_frames

_HOMES = {
    "Contrast": "wavlm.nn.contrast",
    "ContrastiveTerms": "wavlm.nn.contrast",
    "LossTerms": "wavlm.nn.head",
    "ModelFileError": "wavlm.nn.description",
    "WavLM": "wavlm.nn.wavlm",
    "load_model": "wavlm.nn.files",
    "num_frames": "wavlm.specs.shapes",
    "save_model": "wavlm.nn.files",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
