"""Whether a training can start from weights: networks are compared field by field, without torch.

People reported: weights of another order of norms, other strides, another bucket range and one head instead of two were
taken in silence; and imported weights, which have no head, could only be continued with 500 clusters.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_specs import tiny_network
from wavlm.errors import BadDataError, UsageError
from wavlm.export import import_model, load
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.nn import WavLM, save_model
from wavlm.nn.description import read_header
from wavlm.nn.start import Labelling, StartHead, check_start
from wavlm.specs import NetworkSpec, StartSpec
from wavlm.storage.files import read_json, sha256_of, write_json

CLUSTERS = 12
BOOK, OTHER_BOOK = "b" * 64, "c" * 64  # sha256 of centroids


def save(folder: Path, network: NetworkSpec | None = None, codebook: str = BOOK) -> StartSpec:
    """A model folder with random weights, whose head was trained for the labels of a codebook."""
    torch.manual_seed(0)
    model = WavLM(network or tiny_network(), CLUSTERS)
    model.codebook = codebook
    save_model(model, folder)
    return start_of(folder)


def check(start: StartSpec, network: NetworkSpec, num_clusters: int, codebook: str | None = BOOK) -> StartHead:
    return check_start(Path(start.folder or ""), network, Labelling(num_clusters, codebook))


def start_of(folder: Path) -> StartSpec:
    return StartSpec(folder=str(folder), sha256=sha256_of(folder / "model.safetensors"))


def conv_layers(place: int, **changes: int) -> tuple[object, ...]:
    layers = tiny_network().conv_layers
    return (*layers[:place], layers[place].model_copy(update=changes), *layers[place + 1 :])


DIFFERENT = {
    "extractor_norm": "layer",
    "norm_first": True,
    "normalize_waveform": True,
    "conv_layers.1.stride": conv_layers(1, stride=4),
    "conv_layers.2.kernel": conv_layers(2, kernel=5),
    "conv_layers.6.channels": conv_layers(6, channels=16),
    "conv_layers": tiny_network().conv_layers[:6],
    "sample_rate_hz": 24000,
    "conv_bias": True,
    "width": 32,
    "ffn_width": 64,
    "num_layers": 3,
    "num_heads": 1,
    "position_kernel": 8,
    "position_groups": 2,
    "gated_bias": False,
    "num_buckets": 16,
    "max_distance": 32,
    "projection_width": 4,
    "special_symbols": 4,
}
OF_TRAINING = {
    "dropout": 0.3,
    "attention_dropout": 0.0,
    "activation_dropout": 0.2,
    "input_dropout": 0.0,
    "layer_drop": 0.5,
    "feature_grad_mult": 1.0,
}


def test_every_field_of_a_network_is_either_compared_or_of_training_alone() -> None:
    compared = {name.partition(".")[0] for name in DIFFERENT}
    assert compared | OF_TRAINING.keys() == NetworkSpec.model_fields.keys()
    assert not compared & OF_TRAINING.keys()


@pytest.mark.parametrize("field", DIFFERENT)
def test_a_field_that_differs_is_named_with_both_values(tmp_path: Path, field: str) -> None:
    start = save(tmp_path)
    name, value = field.partition(".")[0], DIFFERENT[field]
    wanted = tiny_network(**{name: value})
    with pytest.raises(UsageError) as error:
        check(start, wanted, CLUSTERS)
    assert error.value.code == "START_NETWORK"
    place = (field if field.count(".") else name).split(".")
    theirs, ours = tiny_network(), wanted
    for part in place:
        theirs, ours = (item[int(part)] if part.isdigit() else getattr(item, part) for item in (theirs, ours))
    values = (len(theirs), len(ours)) if field == "conv_layers" else (theirs, ours)
    assert f"{field} is {values[0]} there and {values[1]} in the recipe" in str(error.value)
    assert str(tmp_path / "network.json") in str(error.value)


@pytest.mark.parametrize("field", OF_TRAINING)
def test_what_only_changes_training_may_differ(tmp_path: Path, field: str) -> None:
    start = save(tmp_path)
    assert check(start, tiny_network(**{field: OF_TRAINING[field]}), CLUSTERS).is_kept


def test_all_differences_are_reported_at_once(tmp_path: Path) -> None:
    start = save(tmp_path)
    with pytest.raises(
        UsageError, match="norm_first is False there and True in the recipe, num_heads is 2 there and 4"
    ):
        check(start, tiny_network(norm_first=True, num_heads=4), CLUSTERS)


@pytest.mark.parametrize("num_clusters", [10, CLUSTERS + 1])
def test_a_head_for_another_number_of_clusters_is_fresh_and_has_the_recipes_sizes(
    tmp_path: Path, num_clusters: int
) -> None:
    found = check(save(tmp_path), tiny_network(projection_width=4, special_symbols=4), num_clusters)
    expected = f"the weights have one for {CLUSTERS} clusters, the recipe has {num_clusters} clusters"
    assert found == StartHead(is_kept=False, reason=expected)
    assert str(found).startswith("head is fresh: ")


def test_a_head_for_the_very_codebook_is_kept(tmp_path: Path) -> None:
    assert str(check(save(tmp_path), tiny_network(), CLUSTERS)).startswith("head is kept: ")


def test_a_head_for_as_many_clusters_of_another_codebook_is_fresh(tmp_path: Path) -> None:
    """Cluster 7 of one codebook is another sound than cluster 7 of the other one."""
    found = check(save(tmp_path), tiny_network(projection_width=4), CLUSTERS, OTHER_BOOK)
    assert str(found) == f"head is fresh: the weights have one for {CLUSTERS} clusters, of another codebook"


def test_a_head_of_which_nobody_says_the_codebook_is_fresh(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(WavLM(tiny_network(), CLUSTERS), tmp_path)
    found = check(start_of(tmp_path), tiny_network(), CLUSTERS, "")
    assert str(found).startswith("head is fresh: ")
    assert "nothing says of which codebook" in str(found)


def test_before_the_codebook_is_there_nobody_knows_whether_the_head_is_kept(tmp_path: Path) -> None:
    found = check(save(tmp_path), tiny_network(), CLUSTERS, None)
    assert str(found).startswith("head is open: ")
    assert (found.is_kept, found.is_open) == (False, True)


@pytest.mark.parametrize("layout", ["model", "hf", "model.pt"])
def test_the_codebook_of_a_head_goes_along_in_every_layout(tmp_path: Path, layout: str) -> None:
    save(tmp_path / "model")
    write_hf(load(tmp_path / "model"), tmp_path / "hf")
    write_fairseq(load(tmp_path / "model"), tmp_path / "model.pt")
    import_model(tmp_path / layout, tmp_path / "again")
    assert check(start_of(tmp_path / "again"), tiny_network(), CLUSTERS).is_kept
    assert not check(start_of(tmp_path / "again"), tiny_network(), CLUSTERS, OTHER_BOOK).is_kept


@pytest.mark.parametrize("num_clusters", [10, 500])
def test_a_release_without_a_head_starts_with_a_fresh_one_for_any_number_of_clusters(
    tmp_path: Path, num_clusters: int
) -> None:
    """Also for 500: the head that an import writes for that many is untrained."""
    torch.manual_seed(0)
    write_hf(WavLM(tiny_network(), CLUSTERS), tmp_path / "hf")
    (tmp_path / "hf" / "pretraining_head.safetensors").unlink()
    imported = import_model(tmp_path / "hf", tmp_path / "imported")
    assert (imported.has_head, imported.sha256) == (False, sha256_of(tmp_path / "imported" / "model.safetensors"))
    found = check(start_of(tmp_path / "imported"), tiny_network(projection_width=4), num_clusters)
    assert found == StartHead(is_kept=False, reason=f"the weights have none, the recipe has {num_clusters} clusters")


def test_an_untrained_head_stays_marked_when_a_model_is_written_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_hf(WavLM(tiny_network(), CLUSTERS), tmp_path / "hf")
    (tmp_path / "hf" / "pretraining_head.safetensors").unlink()
    import_model(tmp_path / "hf", tmp_path / "first")
    import_model(tmp_path / "first", tmp_path / "second")
    assert not read_header(tmp_path / "second" / "model.safetensors").has_head
    write_hf(load(tmp_path / "second"), tmp_path / "again")
    assert not (tmp_path / "again" / "pretraining_head.safetensors").exists()


def test_weights_without_head_tensors_start_with_a_fresh_head(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if not name.startswith("head.")}, path)
    assert not check(start_of(tmp_path), tiny_network(), CLUSTERS).is_kept


def test_a_missing_description_is_refused_with_advice(tmp_path: Path) -> None:
    start = save(tmp_path)
    (tmp_path / "network.json").unlink()
    with pytest.raises(BadDataError, match=r"MODEL_UNUSABLE: .*network.json is missing; at .*; name a folder that"):
        check(start, tiny_network(), CLUSTERS)
    with pytest.raises(BadDataError, match="MODEL_UNUSABLE"):
        check(StartSpec(folder=str(tmp_path / "nowhere"), sha256="0" * 64), tiny_network(), CLUSTERS)


def test_weights_that_their_description_does_not_fit_are_refused(tmp_path: Path) -> None:
    """A description that was copied from another model: the recipe agrees with it, the weights do not."""
    start = save(tmp_path)
    path = tmp_path / "network.json"
    content = read_json(path)
    write_json(path, {**content, "network": {**content["network"], "num_layers": 3}})
    with pytest.raises(BadDataError, match=r"MODEL_UNUSABLE: model.safetensors holds [\d,]+ numbers"):
        check(start, tiny_network(num_layers=3), CLUSTERS)


def test_a_cut_weights_file_is_refused(tmp_path: Path) -> None:
    start = save(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadDataError, match="MODEL_UNUSABLE: this is no complete safetensors file"):
        check(start, tiny_network(), CLUSTERS)


def test_the_check_needs_no_torch(tmp_path: Path) -> None:
    start = save(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from wavlm.nn.start import Labelling, check_start\n"
        "from wavlm.specs import NetworkSpec\n"
        f"network = NetworkSpec.model_validate_json({tiny_network().model_dump_json()!r})\n"
        f"print(check_start(Path({start.folder!r}), network, Labelling(10, None)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("head is fresh")
