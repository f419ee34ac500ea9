"""Run an ONNX file of this project with onnxruntime, on a CPU.

B utterances, N samples, F frames, D width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.export.onnx.facts import FRAMES
from wavlm.export.onnx.packages import load_package

Floats = npt.NDArray[np.float32]


class OnnxNetwork:
    """A file as a function. Raises ServiceMissingError (PACKAGE_MISSING) without onnxruntime."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        runtime = load_package("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, waveforms: Floats, num_samples: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.generic]]:
        """The outputs by name, of waveforms (B, N) whose rows have so many samples (B,) before their padding."""
        found = self._session.run(None, {"waveforms": waveforms, "num_samples": num_samples})
        return dict(zip(self.outputs, found, strict=True))

    def states_of(self, waveform: Floats) -> dict[str, Floats]:
        """The frames (F, D) of one utterance (N,), by the name of the output."""
        length = np.array([len(waveform)], np.int64)
        found = self(np.ascontiguousarray(waveform[None], np.float32), length)
        return {name: values[0].astype(np.float32) for name, values in found.items() if name != FRAMES}
