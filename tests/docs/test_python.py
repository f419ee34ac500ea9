"""The Python code in docs/python.md runs, and uses only names that `import wavlm` offers."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import wavlm
from tests.mini_shards import tones, write_shards
from wavlm.evaluation.decoding.witten_bell import write_arpa
from wavlm.evaluation.heads.ctc import LastState
from wavlm.evaluation.heads.embedding import EmbeddingHead
from wavlm.evaluation.tasks.back_end import BackEnd
from wavlm.evaluation.tasks.back_end_files import save_back_end
from wavlm.evaluation.tasks.calibration import Calibration
from wavlm.evaluation.tasks.cohort import Cohort
from wavlm.evaluation.tasks.task import Size
from wavlm.features.extract import extraction_plan
from wavlm.features.fbank import FBANK_CHANNELS
from wavlm.features.mfcc import MFCC_HOP_SAMPLES
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE, SCORING_FILE, HeadFile, write_head
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.nn import WavLM, save_model
from wavlm.nn.files import save_tensors
from wavlm.shards.flac import encode_flac
from wavlm.specs import CodebookSpec, MfccFeatures, NetworkSpec, paper_conv_layers
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.heads import CtcHead
from wavlm.specs.speakers import EcapaHead, SpeakerVerification, TrialScoring
from wavlm.specs.tasks import SpeechRecognition

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MFCC = MfccFeatures(type="mfcc")
NETWORK = NetworkSpec(
    extractor_norm="group",
    norm_first=False,
    normalize_waveform=False,
    conv_layers=paper_conv_layers(channels=8),
    width=16,
    ffn_width=16,
    num_layers=2,
    num_heads=2,
    position_kernel=8,
    position_groups=2,
)


def write_verifier(folder: Path) -> None:
    """A system of speaker verification that was not trained, on filter banks."""
    spec = EcapaHead(type="ecapa", channels=8, groups=4, squeeze=4, pooled=8, attention=4, embedding=6)
    size = Size(1, FBANK_CHANNELS, MFCC_HOP_SAMPLES)
    about = HeadFile(
        name="asv-small",
        task=SpeakerVerification(type="asv", scoring=TrialScoring()),
        head=spec,
        learned=["a", "b"],
        baseline=FbankBaseline(type="fbank"),
        num_states=size.num_states,
        num_channels=size.num_channels,
        hop_samples=size.hop_samples,
    )
    folder.mkdir(parents=True)
    write_head(folder, about)
    save_tensors(dict(EmbeddingHead(size, spec, 2).state_dict()), folder / HEAD_WEIGHTS_FILE, {})
    cohort = Cohort(np.zeros(6), np.eye(6), tuple("abcdef"), 3)
    save_back_end(BackEnd(TrialScoring(), cohort, Calibration(np.ones(13), 0.0)), folder / SCORING_FILE)


def write_recogniser(folder: Path) -> None:
    """A recogniser that was not trained, and a language model of two words beside the store."""
    spec = SpeechRecognition(type="asr", alphabet=" AB")
    about = HeadFile(
        name="asr-small",
        task=spec,
        head=CtcHead(type="ctc"),
        learned=list(spec.alphabet),
        num_states=NETWORK.num_layers + 1,
        num_channels=NETWORK.width,
        hop_samples=320,
    )
    folder.mkdir(parents=True)
    write_head(folder, about)
    save_model(WavLM(NETWORK, num_clusters=4), folder)
    head = LastState(NETWORK.width, len(spec.alphabet) + 1, 0.0)
    save_tensors(dict(head.state_dict()), folder / HEAD_WEIGHTS_FILE, {})
    write_arpa(folder.parents[2] / "words.arpa", [["AB", "BA"]], 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the code reads, under the names that it reads; `…` of a name is left out."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "data_specs").symlink_to(ROOT / "data_specs")
    shards = write_shards(folder / "store/shards/festvox-ru-", tones(3))
    codebook, labels = folder / "store/codebook/mfcc-k4-", folder / "store/labels/festvox-ru-"
    model = folder / "store/pretrain/iteration2-"
    for empty in (codebook, labels, model):
        empty.mkdir(parents=True)
    spec = CodebookSpec(features=MFCC, num_clusters=4, sample_frames_per_cluster=20)
    build_codebook(spec, {"tones": shards}, None, codebook, extraction_plan(workers=0, gpus=0))
    build_labels(codebook, MFCC, shards, None, labels, extraction_plan(workers=0, gpus=0))
    save_model(WavLM(NETWORK, num_clusters=4), model)
    (folder / "speech.flac").write_bytes(encode_flac(tones(1)[0].waveform))
    write_verifier(folder / "store/finetune/asv-small-")
    write_recogniser(folder / "store/finetune/asr-small-")
    return folder


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_code_runs(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(BLOCKS[number].replace("…", ""), f"docs/python.md block {number}", "exec"), {})  # noqa: S102 - our own


def test_the_code_uses_only_names_that_the_package_offers() -> None:
    tree = ast.parse("\n".join(BLOCKS))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if str(module).startswith("wavlm")]
    shown = set(re.findall(r"wavlm\.([A-Za-z_]\w*)", "\n".join([*BLOCKS, *re.findall(r"^\| `.*", TEXT, re.MULTILINE)])))
    assert shown == set(wavlm.__all__)


def test_methods_have_the_parameters_that_are_shown() -> None:
    shown = re.findall(r"`network\.(\w+)\(([^)]*)\)`", TEXT)
    assert len(shown) == 3
    for method, parameters in shown:
        known = inspect.signature(getattr(WavLM, method)).parameters
        assert [name for name in parameters.split(", ") if name not in known] == [], method
