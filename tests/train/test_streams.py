"""Several streams of labels: one head each, and the mean of their losses; one stream is what it was."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.staircases import NUM_CLUSTERS, job_of, levels, write_corpus
from tests.tiny_specs import tiny_network
from tests.train import fakes, outcome
from wavlm.engine.ranks import Ranks
from wavlm.export.hf import write_hf
from wavlm.export.hf_config import HEAD_FILE
from wavlm.labels.files import label_file, read_labels, write_labels
from wavlm.loader.epochs import SamplerState
from wavlm.nn import WavLM, load_model, save_model
from wavlm.shards import read_listing
from wavlm.specs.shapes import num_parameters
from wavlm.train.data import data_of
from wavlm.train.loop import train

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
NETWORK = tiny_network(layer_drop=0.0, dropout=0.0, attention_dropout=0.0)


def test_the_loss_is_the_mean_over_the_streams_and_trains_each_head(tmp_path: Path) -> None:
    job = fakes.job(tmp_path, network={"layer_drop": 0.0, "dropout": 0.0, "attention_dropout": 0.0})
    torch.manual_seed(0)
    both = WavLM(job.network, fakes.NUM_CLUSTERS, num_streams=2).double().eval()
    packed = next(iter(fakes.data(job, ALONE).train(SamplerState())))
    batch = fakes.two_streams(packed).to(torch.device("cpu"))
    terms = both(batch, with_unmasked=True)
    found = []
    for stream in range(2):
        alone = WavLM(job.network, fakes.NUM_CLUSTERS).double().eval()
        weights = {name: value for name, value in both.state_dict().items() if not name.startswith("head.others")}
        if stream:
            of_head = {f"head.{name}": value for name, value in both.head.others[0].state_dict().items()}
            weights |= of_head
        alone.load_state_dict(weights)
        found.append(alone(replace(batch, labels=batch.labels[..., stream]), with_unmasked=True))
    for ours, theirs in ((terms.masked, [it.masked for it in found]), (terms.unmasked, [it.unmasked for it in found])):
        assert ours.loss.item() == pytest.approx(np.mean([it.loss.item() for it in theirs]))
        assert float(ours.num_correct) == pytest.approx(np.mean([float(it.num_correct) for it in theirs]))
        assert int(ours.num_frames) == int(theirs[0].num_frames)
    terms.masked.loss.backward()
    for head in (both.head, both.head.others[0]):
        assert head.label_embeddings.grad is not None
        assert head.label_embeddings.grad.abs().sum() > 0


def test_one_stream_has_the_weights_and_the_file_of_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = WavLM(NETWORK, 7)
    head = [name for name in network.state_dict() if name.startswith("head.")]
    assert head == ["head.label_embeddings", "head.projection.weight", "head.projection.bias"]
    save_model(network, tmp_path)
    assert set(json.loads((tmp_path / "network.json").read_text())) == {"network", "num_clusters"}
    torch.manual_seed(0)
    several = WavLM(NETWORK, 7, num_streams=3)
    for name, tensor in network.state_dict().items():  # later heads are drawn after all that there was
        assert torch.equal(tensor, several.state_dict()[name])


def test_several_heads_are_saved_counted_and_exported_as_the_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = WavLM(NETWORK, 7, num_streams=3)
    assert sum(item.numel() for item in network.parameters()) == num_parameters(NETWORK, 7, 3)
    save_model(network, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.num_streams == 3
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    write_hf(again, tmp_path / "hf")
    exported = load_file(tmp_path / "hf" / HEAD_FILE)
    assert len(exported) == 3
    assert torch.equal(exported["label_embs_concat"], network.head.label_embeddings)


def test_labels_of_another_number_of_streams_are_refused(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    network = WavLM(job.network, fakes.NUM_CLUSTERS, num_streams=2)
    batch = next(iter(fakes.data(job, ALONE).train(SamplerState()))).to(torch.device("cpu"))
    with pytest.raises(ValueError, match="labels"):
        network(batch)


def test_a_loader_gives_the_streams_of_each_frame(tmp_path: Path) -> None:
    data = write_corpus(tmp_path, "ab", 8)
    for shard in read_listing(data.shards):
        found = read_labels(data.labels, shard)
        rows = [np.stack([row, NUM_CLUSTERS - 1 - row], 1) for row in found.labels]
        write_labels(label_file(data.labels, shard), found.keys, rows, replace(found.header, num_streams=2))
    job = job_of((data,), tmp_path / "out", num_streams=2)
    made = data_of(job, ALONE)
    for packed in (*islice(made.train(SamplerState()), 3), *made.valid["valid"]()):
        batch = packed.to(torch.device("cpu"))
        assert batch.labels.shape == (*batch.mask.shape, 2)
        assert torch.equal(batch.labels[..., 0], levels(batch))
        assert torch.equal(batch.labels[..., 1], NUM_CLUSTERS - 1 - levels(batch))


def test_a_training_on_two_streams_measures_the_mean_of_their_baselines(tmp_path: Path) -> None:
    def run(out: Path, updates: int) -> None:
        job = fakes.job(out, train={"updates": updates, "valid_every": 2, "log_every": 1}).model_copy(
            update={"num_streams": 2}
        )
        out.mkdir(exist_ok=True)
        with fakes.StopRequest() as stop:
            train(job, fakes.data(job, ALONE), ALONE, stop)

    run(tmp_path / "whole", 4)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    last = {name: value for line in lines for name, value in line.items() if name.startswith("valid/")}
    batches = [it.to(ALONE.device) for it in fakes.data(fakes.job(tmp_path), ALONE).valid["valid"]()]
    counts = sum(np.bincount(it.labels[it.mask], minlength=fakes.NUM_CLUSTERS) for it in batches)
    shares = counts / counts.sum()  # the second stream has the same shares under other numbers
    assert last["valid/majority"] == pytest.approx(shares.max())
    assert last["valid/label_entropy"] == pytest.approx(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    assert load_model(tmp_path / "whole").num_streams == 2


@pytest.mark.full
@pytest.mark.slow
def test_two_ranks_and_a_killed_run_on_two_streams_give_the_bytes_of_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    unbroken = outcome.run(fakes.streams_job(tmp_path / "one"))
    killed = fakes.streams_job(tmp_path / "killed", snapshot_every=1)
    outcome.check_two_ranks_and_killed("streams", killed, tmp_path / "two", unbroken)
    assert load_model(killed.out).num_streams == 2
