"""Other libraries' model layouts: write and read Hugging Face folders and fairseq files, head included.

The names below are imported on first use, so that `wavlm.export.facts` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavlm.export.build import FAIRSEQ_FOLDER as FAIRSEQ_FOLDER
    from wavlm.export.build import HF_FOLDER as HF_FOLDER
    from wavlm.export.build import build_export as build_export
    from wavlm.export.card import Card as Card
    from wavlm.export.card import model_card as model_card
    from wavlm.export.errors import ImportRefusedError as ImportRefusedError
    from wavlm.export.facts import ExportFacts as ExportFacts
    from wavlm.export.read import import_model as import_model
    from wavlm.export.read import load as load

_MODULES = {
    "Card": "card",
    "ExportFacts": "facts",
    "FAIRSEQ_FOLDER": "build",
    "HF_FOLDER": "build",
    "ImportRefusedError": "errors",
    "build_export": "build",
    "import_model": "read",
    "load": "read",
    "model_card": "card",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
