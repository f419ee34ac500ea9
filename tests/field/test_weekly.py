"""Three weeks in small: a released model, speech that comes in twice, two refreshes, and kills anywhere.

People reported: a loop that was killed after it had promoted began from its own product, recordings that came in while
a training ran made it begin anew, and labels of old speech changed every week.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.flows.conftest import (
    CORPUS,
    MIX,
    NETWORK,
    PAGE,
    RATE_HZ,
    ROOT,
    TRAIN,
    environment,  # noqa: F401 - a fixture
    voice,
)
from tests.servers.conftest import prefect_server  # noqa: F401 - a fixture
from tests.servers.servers import PrefectServer
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.artifacts import Codebook, ImportedModel, Labels, Model, Registration, Shards, keep_latest
from wavlm.pipeline.plan import plan
from wavlm.pipeline.refreshes import Refresh, read_refresh
from wavlm.pipeline.registration import RegistrationFacts, read_gate
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.shards import read_listing
from wavlm.specs.yaml import read_recipe
from wavlm.storage.files import sha256_of

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.timeout(3600)]

WAVLM = (sys.executable, "-m", "flows.cli")
RECIPE = """name: weekly
description: Voices made of pulses, week after week
registry_name: weekly
speech: [tiny-speech]
shards: {{min_seconds: 1.0, max_seconds: 4.0, shard_megabytes: 0.2}}
models:
  base: {{source: {{type: folder, path: {base}}}}}
  champion: {{registry: weekly@champion, first: base}}
iterations:
  - codebook:
      features: {{type: hidden, model: base, layer: 1}}
      num_clusters: 8
      sample_frames_per_cluster: 100
      iterations: 3
    start: {{model: champion}}
    network:{network}
    train:{train}
    mix: tiny-mix
"""


class Lab:
    """A folder with speech, specs and a store."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, variables
        self.recipe, self.store = folder / "specs/recipes/weekly.yaml", Store(folder / "store")

    @classmethod
    def found(cls, folder: Path, variables: Mapping[str, str]) -> Lab:
        """A new lab: its first speech, and a released model of random weights."""
        lab = cls(folder, variables)
        for number, (speaker, pitch_hz, clips) in enumerate(
            (("alice", 210.0, 6), ("bob", 110.0, 6), ("carol", 180.0, 6))
        ):
            lab.add(speaker, pitch_hz, clips, seed=number)
        for name, text in (
            ("corpora/tiny-speech.yaml", CORPUS.format(page=PAGE, folder="../../audio")),
            ("mixes/tiny-mix.yaml", MIX),
            ("recipes/weekly.yaml", RECIPE.format(base="../../base", network=NETWORK, train=TRAIN.format(updates=12))),
        ):
            (folder / "specs" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "specs" / name).write_text(text)
        torch.manual_seed(3)
        save_model(WavLM(read_recipe(lab.recipe).iterations[0].network, 8), folder / "base")
        return lab

    def add(self, speaker: str, pitch_hz: float, clips: int, seed: int) -> None:
        rng, place = np.random.default_rng(seed), self.folder / "audio" / speaker
        place.mkdir(parents=True, exist_ok=True)
        for number in range(clips):
            wave = voice(rng, 1.8 + 0.1 * number, pitch_hz)
            soundfile.write(place / f"{speaker}-{seed}-{number}.wav", wave, RATE_HZ, subtype="PCM_16")

    def move(self, folder: Path) -> Lab:
        """A copy of everything, elsewhere: specs, speech, store and its registry."""
        shutil.copytree(self.folder, folder)
        return Lab(folder, self.environment)

    def start(self) -> subprocess.Popen[bytes]:
        command = [*WAVLM, "refresh", str(self.recipe), "--store", str(self.store.root)]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [*command, "--snapshot-every", "3"], cwd=ROOT, env=dict(self.environment), stdout=log, stderr=log
            )

    def refresh(self) -> Refresh:
        process = self.start()
        assert process.wait(3 * LIMIT_SECONDS) == 0, (self.folder / "log.txt").read_text()[-5000:]
        found = self.newest()
        assert found is not None
        return found

    def kill_when(self, condition: Callable[[], object]) -> None:
        """Begin a refresh, and kill it without a word once the condition holds."""
        process = self.start()
        wait_until(lambda: condition() or process.poll() is not None)
        assert process.poll() is None, (self.folder / "log.txt").read_text()[-5000:]
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_SECONDS)

    def newest(self) -> Refresh | None:
        return read_refresh(self.store.root, "weekly")

    def one(self, kind: type) -> object:
        """The last artifact of a kind in the plan of the newest number."""
        artifacts = keep_latest(plan(resolve(read_recipe(self.recipe), self.store)))  # codebooks have older shards
        return [item for item in artifacts if isinstance(item, kind)][-1]

    def digests(self, kind: type) -> dict[str, str]:
        """The files of that artifact, without what only tells when and where it was made."""
        folder = self.store.path(self.one(kind))  # type: ignore[arg-type]
        names = ("*.tar", "*.parquet", "*.safetensors", "network.json")
        return {path.name: sha256_of(path) for name in names for path in sorted(folder.glob(name))}

    def history(self) -> str:
        found = subprocess.run(
            [*WAVLM, "models", "history", "weekly", "--json", "--store", str(self.store.root)],
            cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS,
        )  # fmt: skip
        return found.stdout


def test_three_weeks(tmp_path: Path, prefect_server: PrefectServer) -> None:  # noqa: F811
    lab = Lab.found(tmp_path / "lab", prefect_server.environment)
    first = lab.refresh()
    assert (first.number, first.state, first.models["champion"].first) == (1, "sealed", "base")
    assert first.product
    assert first.product.verdict.startswith("the first champion: ")
    shards, labels, codebook = lab.digests(Shards), lab.digests(Labels), lab.one(Codebook)

    lab.add("dora", 240.0, 4, seed=10)
    calm = lab.move(tmp_path / "calm")
    second = calm.refresh()

    # The same week, killed while it trains and when it is judged; and speech goes on coming in.
    lab.kill_when(lambda: any(lab.store.root.glob("pretrain/.*.partial/snapshots/step-*")))
    taken = lab.newest()
    assert taken
    assert taken.corpora
    lab.add("emil", 130.0, 4, seed=11)
    lab.kill_when(lambda: any(lab.store.root.glob("register/.*.partial/gate.json")))
    found = lab.refresh()
    assert found.number == second.number == 2
    assert (found.corpora, found.hours) == (second.corpora, second.hours)
    taken_models = [(one.models["champion"].version, one.models["champion"].sha256) for one in (found, second)]
    assert taken_models[0] == taken_models[1]  # of registries at two places
    assert found.product
    assert second.product
    assert (found.product.sha256, found.product.verdict) == (second.product.sha256, second.product.verdict)
    for kind in (Shards, Labels, Model, ImportedModel):
        assert lab.digests(kind) == calm.digests(kind), kind

    # Parts are taken over, labels of old speech stay, and so does the codebook.
    now = lab.digests(Shards)
    assert {name: now[name] for name in shards if name.endswith(".tar")} == {
        name: digest for name, digest in shards.items() if name.endswith(".tar")
    }
    assert labels.items() <= lab.digests(Labels).items()
    assert lab.one(Codebook) == codebook
    listing = read_listing(lab.store.path(lab.one(Shards)))  # type: ignore[arg-type]
    assert any(name.startswith("train-g002-") for name in listing)

    # It started from the first week's product, with its head, and the gate compared both on the speech of today.
    start = lab.one(ImportedModel)
    assert isinstance(start, ImportedModel)
    assert found.models["champion"].sha256 == first.product.sha256
    registration = lab.one(Registration)
    assert isinstance(registration, Registration)
    said = read_gate(lab.store.path(registration))
    assert said
    assert said.gain
    assert (said.gain.metric, said.gain.num_utterances) == ("valid/loss", 6)
    assert said.is_champion == (said.gain.low > 0)
    facts = lab.store.facts(registration, RegistrationFacts)
    assert (facts.version, facts.champion) == (2, said.reason)

    # The third week has what came in while the second was open.
    third = lab.refresh()
    assert (third.number, third.state) == (3, "sealed")
    assert third.hours
    assert found.hours
    assert third.hours > found.hours
    assert third.models["champion"].version == ("2" if said.is_champion else "1")
    assert labels.items() <= lab.digests(Labels).items()
    assert f'"start.version": "weekly:{third.models["champion"].version}"' in lab.history()
    assert lab.refresh() == third
