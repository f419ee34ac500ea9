"""Exported folders in the oldest and the newest transformers that are promised, each in an environment of its own."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.nn.networks import base, large, lively
from tests.numerics import num_operations, require_close
from wavlm.export.hf import write_hf
from wavlm.specs import NetworkSpec

pytestmark = [pytest.mark.network, pytest.mark.full]

NETWORKS = {
    "base": base(),
    "large": large(normalize_waveform=True, conv_bias=True),
    "hubert": base(gated_bias=False),
}
# The last state of the pre-norm style is left out: 4.28.1 returns it after the final norm, newer versions before it.
CODE = """
import sys, numpy, torch, transformers
for folder in sys.argv[1:]:
    kind = transformers.HubertModel if folder.endswith("hubert") else transformers.WavLMModel
    model = kind.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(torch.from_numpy(numpy.load(folder + ".npy")), output_hidden_states=True).hidden_states
    numpy.savez(folder + ".npz", *[state.numpy() for state in states[:-1]])
print(transformers.__version__)
"""


def make_environment(folder: Path, *packages: str) -> Path:
    """A Python with these packages, and all others from the present environment."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    own = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    subprocess.check_call([python, "-m", "pip", "install", "-q", *packages])
    (Path(own.strip()) / "outer.pth").write_text(sysconfig.get_path("purelib"))
    return python


def waveforms_for(network: NetworkSpec) -> torch.Tensor:
    waveforms = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.layer_norm(waveforms, (2000,)) if network.normalize_waveform else waveforms


@pytest.mark.parametrize("packages", [("transformers==4.28.1", "numpy<2"), ("transformers",)], ids=["oldest", "newest"])
def test_a_version_of_transformers_gives_our_hidden_states(packages: tuple[str, ...], tmp_path: Path) -> None:
    for name, network in NETWORKS.items():
        write_hf(lively(network), tmp_path / name)
        np.save(tmp_path / f"{name}.npy", waveforms_for(network).numpy())
    python = make_environment(tmp_path / "environment", *packages)
    folders = [str(tmp_path / name) for name in NETWORKS]
    version = subprocess.check_output([python, "-W", "ignore", "-c", CODE, *folders], text=True).strip()
    assert version == "4.28.1" or packages == ("transformers",)
    for name, network in NETWORKS.items():
        model = lively(network)
        with torch.inference_mode():
            ours = model.hidden_states(waveforms_for(network))
        theirs = np.load(tmp_path / f"{name}.npz")
        assert len(theirs.files) == network.num_layers
        for number, file in enumerate(theirs.files):
            operations = num_operations(network, ours[number].shape[1])
            require_close(torch.from_numpy(theirs[file]), ours[number], operations)
