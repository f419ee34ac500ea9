"""Examples and features without files, for tests of tasks and fits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.features.cache import Features


class MadeFeatures(Features):
    """States (S, F, D) by key."""

    def __init__(self, values: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self.values = values

    def read(self, key: str) -> npt.NDArray[np.float32]:
        return self.values[key]

    def read_state(self, key: str, state: int) -> npt.NDArray[np.float32]:
        return self.values[key][state]

    def count(self, key: str) -> int:
        return self.values[key].shape[1]

    def mean_norms(self, keys) -> npt.NDArray[np.float64]:  # type: ignore[no-untyped-def]
        norms = [np.linalg.norm(self.values[key], axis=2).mean(axis=1) for key in keys]
        found: npt.NDArray[np.float64] = np.mean(norms, axis=0)
        return found
