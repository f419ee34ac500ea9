"""A registered model in MLflow's generic form: `mlflow.pyfunc.load_model` imports this module and calls `_load_pyfunc`.

The module is named as `loader_module` in the `MLmodel` file of a version. Nothing is pickled: it reads the Hugging Face
folder that the file lies in.

Legend: B utterances, N samples, F frames, D channels, L layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from wavlm.errors import UsageError
from wavlm.export.read import load
from wavlm.nn import WavLM

Floats = npt.NDArray[np.float32]


class Features:
    """What `mlflow.pyfunc.load_model` wraps: waveforms in, hidden states out."""

    def __init__(self, network: WavLM) -> None:
        self._network = network

    def predict(self, model_input: Any) -> Floats:
        """Hidden states (L + 1, B, F, D) of 16 kHz waveforms (B, N), float32 in [-1, 1]; nothing may be padded.

        The first is the encoder's input, then the output of each layer. `mlflow.pyfunc` refuses one utterance (N,) by
        the signature in `MLmodel`: give it as (1, N). Only without MLflow (N,) gives (L + 1, F, D).
        Raises UsageError for input of another form.
        """
        if not isinstance(model_input, np.ndarray):
            raise UsageError(
                "WAVEFORM_BAD",
                f"found {type(model_input).__name__}; in predict; give a numpy array (B, N) of 16 kHz audio, float32",
            )
        with torch.inference_mode():
            states = self._network.hidden_states(torch.from_numpy(model_input))
        return torch.stack(states).float().numpy()


def _load_pyfunc(path: str) -> Features:
    return Features(load(Path(path)))
