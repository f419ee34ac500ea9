"""Counted operations and parameters against published and independently counted figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.evaluation.suites import two_tasks
from tests.tiny_specs import paper_network
from wavlm.pipeline.amounts import Sum
from wavlm.pipeline.artifacts import Corpus, Evaluation, Shards
from wavlm.pipeline.cost import cost
from wavlm.pipeline.evaluation_cost import FeaturesCost, cost_features
from wavlm.pipeline.evaluation_stages import share_disk
from wavlm.pipeline.gpus import GPUS
from wavlm.specs import HiddenFeatures, MultiCodebookSpec, Recipe
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.head_shapes import head_flops
from wavlm.specs.heads import HeadSpec
from wavlm.specs.recipe import KeepSpec
from wavlm.specs.shapes import forward_flops, num_parameters
from wavlm.specs.yaml import find_suite, read_network, read_recipe, read_suite

BASE, LARGE = paper_network("base"), paper_network("large")
RECIPES = Path(__file__).parents[2] / "data_specs" / "recipes"
SUITES = RECIPES.parent / "suites"
V100, A100, _ = GPUS


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(RECIPES / "wavlm-base.yaml")


def test_parameter_counts_are_those_of_the_published_models() -> None:
    # 94.70 M and 316.62 M in the WavLM paper, table 1 (head of 504 rows included).
    assert num_parameters(BASE, 500) == 94_707_824
    assert num_parameters(LARGE, 500) == 316_627_392


def test_xlarge_has_the_size_and_the_operations_of_hubert_xlarge() -> None:
    # 964 M parameters in the HuBERT paper, table 1. By hand, in GFLOP per second at 15 s: layers 94.4, attention 9.2,
    # convolutions and positions 6.3; thrice that for a forward and a backward pass.
    xlarge = read_network(RECIPES.parent / "networks" / "xlarge.yaml")
    hubert = xlarge.model_copy(update={"gated_bias": False, "special_symbols": 4})
    assert num_parameters(hubert, 500) == pytest.approx(964e6, abs=1e6)
    assert 3 * forward_flops(hubert, 15.0) == pytest.approx(330e9, rel=0.005)


def test_base_takes_15_3_gflop_a_second_of_audio_at_15_s() -> None:
    # By hand: conv 4.91, projection 0.04, positional 0.47, layers 8.49, attention 1.38.
    assert forward_flops(BASE, 15.0) == pytest.approx(15.3e9, rel=0.01)
    assert forward_flops(LARGE, 15.0) == pytest.approx(39.7e9, rel=0.01)


def test_disk_holds_archives_what_is_unpacked_from_them_and_shards_of_noise_too() -> None:
    # The demo's store, as du counts it: archives 0.24 GB, unpacked 0.34, shards 0.28.
    found = cost(read_recipe(RECIPES / "demo.yaml"))
    by_stage = {stage.stage: stage.disk_gigabytes.known for stage in found.stages}
    assert by_stage["corpus"] == pytest.approx(found.download_gigabytes.known, rel=1e-12)  # sums in another order
    assert by_stage["shards"] == pytest.approx(0.28, rel=0.1)
    assert found.disk_gigabytes.known == pytest.approx(0.24 + 0.34 + 0.28, rel=0.15)


def test_stages_are_computed_in_their_own_precision(recipe: Recipe) -> None:
    found = {(item.iteration, item.stage): item for item in cost(recipe).stages}
    labels, training = found[2, "labels"], found[2, "pretrain"]
    hours = sum(spec.expected_hours for spec in recipe.speech)
    # Six of twelve layers of Base at 15 s, in fp32 at 19.5 TFLOP/s, of which 35 % are reached.
    layers = forward_flops(BASE, 15.0, 6) * hours * 3600 / (19.5e12 * 0.35) / 3600
    assert labels.gpu_hours(A100) == Sum(pytest.approx(layers, rel=1e-6))
    updates = recipe.iterations[1].train.updates * recipe.iterations[1].train.batch_seconds
    # Three times the forward of 15.3 GFLOP per second, in bf16 at 312 TFLOP/s.
    assert training.gpu_hours(A100) == Sum(pytest.approx(3 * 15.3e9 * updates / (312e12 * 0.35) / 3600, rel=0.02))


def with_second(recipe: Recipe, **changes: object) -> Recipe:
    """The recipe with changes of its second iteration."""
    first, second = recipe.iterations
    return recipe.model_copy(update={"iterations": (first, second.model_copy(update=changes))})


def test_sixteen_codebooks_take_sixteen_times_the_labels_and_fit_and_a_head_each(recipe: Recipe) -> None:
    layer = HiddenFeatures(type="hidden", layer=6)
    books = {
        streams: MultiCodebookSpec(type="multi_codebook", features=layer, num_clusters=256, num_streams=streams)
        for streams in (1, 16)
    }
    one, many = (cost(with_second(recipe, codebook=books[streams])) for streams in (1, 16))
    found = [{item.stage: item for item in made.stages if item.iteration == 2} for made in (one, many)]
    seconds = 3600 * sum(spec.expected_hours for spec in recipe.speech)
    of_heads = 15 * (769 + 256 + 4) * 256  # weights: a projection of 768, and a row per class and special symbol
    for name, label_bytes in (("labels", 1.12), ("pretrain", 2)):  # in files, and in the copy for training
        field = "disk_gigabytes" if name == "labels" else "extra_gigabytes"
        less, more = (getattr(of[name], field).known for of in found)
        heads = 0.0 if name == "labels" else 12e-9 * of_heads  # in one more snapshot: fp32 and two moments
        assert more - less == pytest.approx(15 * seconds * 50 * label_bytes * 1e-9 + heads, rel=0.01)
    assert many.parameters[1] - one.parameters[1] == of_heads
    assert found[1]["codebook"].core_hours.known > 5 * found[0]["codebook"].core_hours.known


def test_a_third_more_frames_per_second_take_as_much_more_of_labels_and_operations(recipe: Recipe) -> None:
    """75 per second: the paper's strides at 24 kHz. Attention, whose operations grow with the square, adds the rest."""
    fast = BASE.model_copy(update={"sample_rate_hz": 24000})
    assert forward_flops(fast, 10.0) == pytest.approx(1.5 * forward_flops(BASE, 15.0), rel=1e-9)
    usual, more = (
        {item.stage: item for item in cost(made).stages if item.iteration == 2}["labels"].disk_gigabytes.known
        for made in (recipe, with_second(recipe, network=fast))
    )
    assert more == pytest.approx(1.5 * usual)


def test_a_card_without_the_precision_has_no_hours_and_with_another_precision_it_has(recipe: Recipe) -> None:
    assert cost(recipe).gpu_hours(V100) is None
    train = [item.train.model_copy(update={"precision": "fp16"}) for item in recipe.iterations]
    iterations = [item.model_copy(update={"train": one}) for item, one in zip(recipe.iterations, train, strict=True)]
    found = cost(recipe.model_copy(update={"iterations": tuple(iterations)})).gpu_hours(V100)
    assert found is not None
    assert found.known > 300


def test_peaks_pile_up_and_a_training_takes_more_while_it_runs(recipe: Recipe) -> None:
    found = cost(recipe)
    parameters = num_parameters(BASE, 500)
    snapshot = 12 * parameters / 1e9
    last = max(found.peaks, key=lambda peak: peak.known)  # of the last training: scores need less
    assert last.known == pytest.approx(found.disk_gigabytes.known + snapshot + 961 * 3600 * 100 / 1e9, rel=1e-3)
    assert found.freed_gigabytes.known == pytest.approx(4 * snapshot, rel=0.01)  # two of each model
    keep = recipe.model_copy(update={"keep": KeepSpec(archives=False, audio=False)})
    assert cost(keep).freed_gigabytes.known == pytest.approx(
        4 * snapshot + 2 * found.download_gigabytes.known, rel=0.01
    )


def test_features_of_a_corpus_count_once_per_model_whichever_tasks_use_it() -> None:
    recipe = read_recipe(RECIPES / "demo.yaml").model_copy(update={"evaluate": two_tasks()})
    found = {item.iteration: item for item in cost(recipe).stages if item.stage == "evaluation"}
    assert recipe.evaluate is not None
    (corpus,) = {spec for item in recipe.evaluate.evaluations for spec in item.corpora}
    assert len(recipe.evaluate.evaluations) == 2
    assert corpus.expected_hours is not None
    for number, iteration in enumerate(recipe.iterations, 1):
        expected = forward_flops(iteration.network, 10.0) * corpus.expected_hours * 3600 / 1e15
        assert found[number].petaflops.known == pytest.approx(expected)
    networks = {iteration.network for iteration in recipe.iterations}  # of the random ones
    expected = sum(forward_flops(network, 10.0) for network in networks) * corpus.expected_hours * 3600 / 1e15
    assert found[0].petaflops.known == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "rows_per_second"),
    [(("sd-kajongg",), 100), (("ks-kajongg",), 0.1), (("sd-kajongg", "ks-kajongg"), 100)],
)
def test_features_take_the_disk_of_their_frames_or_of_their_means(
    names: tuple[str, ...], rows_per_second: float
) -> None:
    specs = [find_suite(Path(name)).evaluations[0] for name in names]
    data = Shards(specs[0].shards, Corpus(specs[0].corpora[0]))
    made = [Evaluation(spec, FbankBaseline(type="fbank"), (data,)) for spec in specs]
    found = cost_features(made, {data: Sum(2.0)}, None)
    assert found[0].gigabytes.known == pytest.approx(2 * 3600 * rows_per_second * 240 * 2 / 1e9)  # float16


def test_features_are_a_cache_and_cores_do_all_where_there_is_no_gpu() -> None:
    found = cost(read_recipe(RECIPES / "demo.yaml"))
    features = [item for item in found.stages if item.stage == "evaluation"]
    assert min(item.disk_gigabytes.known for item in features) > 0
    assert [item.left_gigabytes for item in features] == [item.disk_gigabytes for item in features]
    assert found.freed_gigabytes.known > sum(item.disk_gigabytes.known for item in features)
    networks = sum(item.petaflops.known for item in found.stages if item.stage != "heads")
    assert found.core_hours_without_gpu.known == pytest.approx(
        found.core_hours.known + found.heads.core_hours.known + networks * 1e15 / 15e9 / 3600
    )


def test_of_more_features_than_are_kept_the_others_are_there_while_they_are_used() -> None:
    shares = share_disk({0: FeaturesCost(gigabytes=Sum(30.0)), 1: FeaturesCost(gigabytes=Sum(100.0))})
    assert shares == {0: (Sum(30.0), Sum(0.0)), 1: (Sum(20.0), Sum(80.0))}


def test_heads_have_the_weights_of_published_ones() -> None:
    """Of s3prl's heads on 768 channels, as tests/evaluation/heads counts them. An x-vector meets some once only."""
    counts = {
        "frame_linear": (215_882, 0.99),
        "blstm": (42_828_832, 1.0),
        "xvector": (6_110_172, 0.70),
        "diarizer": (2_626_562, 1.0),
        "mask": (50_966_529, 1.0),
    }
    for name, (weights, share) in counts.items():
        head = TypeAdapter(HeadSpec).validate_python({"type": name})
        assert head_flops(head, 768, 50.0, 10.0) == pytest.approx(2 * 500 * weights * share, rel=0.02), name


def test_all_updates_of_the_search_for_heads_are_counted() -> None:
    recipe = read_recipe(RECIPES / "demo.yaml").model_copy(update={"evaluate": two_tasks()})
    found = cost(recipe)
    assert recipe.evaluate is not None
    states = {1: recipe.iterations[0].network.num_layers + 1, 2: recipe.iterations[1].network.num_layers + 1}
    fits = updates = 0
    for spec in recipe.evaluate.evaluations:
        assert spec.fit is not None
        of_baselines = len(spec.fit.learning_rates)  # fbank has one state
        of_networks = sum(of_baselines + spec.single_layers * states[number] for number in (1, 2))
        random = {item.network: item.network.num_layers + 1 for item in recipe.iterations}
        of_random = sum(of_baselines + spec.single_layers * count for count in random.values())
        more = (of_baselines + of_networks + of_random) * (5 if spec.split.type == "folds" else 1)
        fits, updates = fits + more, updates + more * spec.fit.updates
    assert (found.heads.fits, found.heads.updates) == (fits, updates)
    assert {item.iteration for item in found.stages if item.stage == "heads"} == {0, 1, 2}
    assert found.heads.core_hours.known > 0


def test_codebooks_and_scores_count_and_a_shared_codebook_once() -> None:
    recipe = read_recipe(RECIPES / "demo.yaml").model_copy(update={"evaluate": None})
    stages = [(item.iteration, item.stage) for item in cost(recipe).stages]
    assert stages[2:] == [
        (number, stage) for number in (1, 2) for stage in ("codebook", "labels", "pretrain", "scores")
    ]
    assert all(item.core_hours.known > 0 for item in cost(recipe).stages if item.stage in ("codebook", "scores"))
    first = recipe.iterations[0]
    twice = recipe.model_copy(
        update={"iterations": (first, first.model_copy(update={"train": recipe.iterations[1].train}))}
    )
    assert [item.iteration for item in cost(twice).stages if item.stage == "codebook"] == [1]


@pytest.mark.parametrize(("keep", "unpacked", "freed"), [(None, 321, 0), ("none", 0, 321), ("archives", 0, 0)])
def test_a_corpus_that_is_read_from_its_tars_takes_no_room_beside_them(
    keep: str | None, unpacked: int, freed: int
) -> None:
    recipe = read_recipe(RECIPES / "wavlm-large.yaml")
    (spec,) = (item for item in recipe.speech if item.name == "libri-light-medium")
    alone = recipe.model_copy(
        update={"speech": (spec.model_copy(update={"keep": keep}),), "iterations": (), "noise": (), "rooms": ()}
    )
    found = cost(alone)
    assert found.stages[0].disk_gigabytes.known == pytest.approx(unpacked)
    assert found.freed_gigabytes.known == pytest.approx(freed)


def test_a_beam_search_is_named_as_not_counted() -> None:
    """How long it takes depends on how sure the model is, which nobody knows before."""
    recipe = read_recipe(RECIPES / "demo.yaml")
    suites = {
        name: recipe.model_copy(update={"evaluate": read_suite(SUITES / f"{name}.yaml")}) for name in ("superb", "demo")
    }
    assert cost(suites["superb"]).beam_searched == ("superb-asr",)
    assert cost(suites["demo"]).beam_searched == ()
