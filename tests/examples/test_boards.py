"""Adapters for boards: the frames they give are the network's, whatever the length of a recording."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.nn.networks import base, lively
from tests.numerics import require_close
from wavlm.nn import WavLM, save_model

BOARDS = Path(__file__).parents[2] / "examples" / "boards"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"boards_{name}", BOARDS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


frames_of = load("frames")


@pytest.fixture
def model(tmp_path: Path) -> tuple[WavLM, Path]:
    network = lively(base())
    save_model(network, tmp_path / "model")
    return network, tmp_path / "model"


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_layer_is_the_networks_own(layer: int, model: tuple[WavLM, Path]) -> None:
    network, folder = model
    waveforms = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0)) / 10
    found = frames_of.LayerFrames(folder, layer)
    with torch.no_grad():
        expected = network.hidden_states(waveforms)[layer]
    assert found.num_channels == expected.shape[2]
    require_close(found(waveforms), expected, 1000)


def test_no_layer_is_the_mean_of_all(model: tuple[WavLM, Path]) -> None:
    network, folder = model
    waveforms = torch.randn(1, 2000, generator=torch.Generator().manual_seed(1)) / 10
    with torch.no_grad():
        expected = sum(network.hidden_states(waveforms)) / 4
    require_close(frames_of.LayerFrames(folder, None)(waveforms), expected, 1000)


def test_a_long_recording_is_cut_and_a_short_one_is_filled(
    model: tuple[WavLM, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = model
    module = frames_of.LayerFrames(folder, 1)
    long = torch.randn(1, 2900, generator=torch.Generator().manual_seed(2)) / 10
    whole = module(long).shape[1]
    monkeypatch.setattr(frames_of, "CHUNK_SAMPLES", 1000)
    parts = [module(part) for part in long.split(1000, dim=1)]
    assert torch.equal(module(long), torch.cat(parts, dim=1))
    assert whole - 3 <= module(long).shape[1] <= whole
    assert module(long[:, :5]).shape[1] >= 1


def test_a_layer_that_is_not_there_is_refused(model: tuple[WavLM, Path]) -> None:
    with pytest.raises(ValueError, match=r"layer 4; the network in .* has 0 to 3"):
        frames_of.LayerFrames(model[1], 4)


def test_digits_are_the_first_of_each_speaker_and_digit(tmp_path: Path) -> None:
    rows = [
        f"{speaker}/{digit}_{speaker}_{n}.flac\t{speaker}\t{digit}"
        for speaker in "ab"
        for digit in (3, 7)
        for n in range(6)
    ]
    (tmp_path / "digits.tsv").write_text("\n".join(["path\tspeaker\tdigit", *reversed(rows)]))
    found = load("digits").read_digits(tmp_path)
    assert len(found) == 16
    assert {(item.speaker, item.digit) for item in found} == {("a", 3), ("a", 7), ("b", 3), ("b", 7)}
    assert [item.path.name for item in found[:4]] == [f"3_a_{n}.flac" for n in range(4)]


def test_the_guide_shows_the_results_that_are_kept() -> None:
    guide = (BOARDS / "README.md").read_text()
    averages: dict[str, list[str]] = {"linear": [], "neighbours": [], "MTEB": []}
    for model in ("random", "demo"):
        scores = json.loads((BOARDS / "results" / f"mteb-{model}.json").read_text())
        averages["MTEB"].append(f"{scores['accuracy']:.3f}")
        linear, neighbours = re.findall(r"averaged .*: (.*)", (BOARDS / "results" / f"xares-{model}.txt").read_text())
        averages["linear"].append(f"{float(linear):.3f}")
        averages["neighbours"].append(f"{float(neighbours):.3f}")
    for row in averages.values():
        assert f"| {' | '.join(row)} |" in guide
