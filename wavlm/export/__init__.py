"""Other people's layouts: Hugging Face folders and fairseq files, out and in."""

from __future__ import annotations

from pathlib import Path

from wavlm.nn import WavLM, load_model


def load(path: Path) -> WavLM:
    """The network in eval mode."""
    return load_model(path)
