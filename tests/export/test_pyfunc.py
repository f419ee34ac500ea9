"""The loader module of registered models, without MLflow."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.nn.networks import base, lively
from wavlm.errors import UsageError
from wavlm.export.hf import write_hf
from wavlm.export.pyfunc import _load_pyfunc


def test_features_are_the_hidden_states_of_each_layer(tmp_path: Path) -> None:
    model = lively(base())
    write_hf(model, tmp_path / "hf")
    waveforms = np.random.default_rng(0).standard_normal((2, 2000)).astype(np.float32)
    features = _load_pyfunc(str(tmp_path / "hf"))
    found = features.predict(waveforms)
    with torch.inference_mode():
        expected = model.hidden_states(torch.from_numpy(waveforms))
    assert found.shape == (4, *expected[0].shape)
    assert all(np.array_equal(layer, state.numpy()) for layer, state in zip(found, expected, strict=True))
    assert features.predict(waveforms[0]).shape == (4, *expected[0].shape[1:])


@pytest.mark.parametrize("wrong", [[[0.0] * 2000], np.zeros((2, 2000), np.int16), torch.zeros(2, 2000)])
def test_other_input_is_refused(wrong: object, tmp_path: Path) -> None:
    write_hf(lively(base()), tmp_path / "hf")
    with pytest.raises(UsageError, match="WAVEFORM_BAD"):
        _load_pyfunc(str(tmp_path / "hf")).predict(wrong)
