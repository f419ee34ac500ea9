"""What MLflow's pages say about a model and about a version: Markdown, written from the lineage.

A text that a person changed is left alone: ours ends with a line that says where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.registry.connection import Registry
from tasks.registry.versions import Version
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.registration import REPORT_FILE
from wavlm.pipeline.results import label_quality_of
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import Recipe

SIGNATURE = "Written by `wavlm` from the lineage. Change the text, and it is left as you write it."
PAGE = f"Its page, to look at and to listen to, is the artifact `{REPORT_FILE}` of its run."
_METRICS = {
    "valid/loss": "validation loss, of these labels",
    "valid/masked_accuracy": "masked accuracy",
    "valid/hard_perplexity": "hard perplexity of the codes",
    "valid/soft_perplexity": "soft perplexity of the codes",
    "valid/identical_negatives": "share of negatives with the codes of their frame",
    "probe/pnmi": "PNMI of its best layer, on valid speech",
    "probe/mfcc/pnmi": "PNMI of MFCC, on the same frames",
    "probe/abx_within": "ABX error within speakers, of its best layer, on valid speech",
    "probe/mfcc/abx_within": "ABX error within speakers of MFCC",
    "probe/abx_across": "ABX error across speakers, of its best layer, on valid speech",
    "probe/mfcc/abx_across": "ABX error across speakers of MFCC",
}


def describe_version(
    model: Model, recipe: Recipe, store: Store, version: Version, figures: Mapping[str, float], page: str
) -> str:
    """The description of a version: what it learnt from what, its figures, how to load it. `page`: its run's files."""
    family = "wav2vec 2.0" if model.train.quantizer else "WavLM" if model.network.gated_bias else "HuBERT"
    network = f"{model.network.num_layers} layers of width {model.network.width}"
    measured = [(words, f"{figures[name]:.4f}") for name, words in _METRICS.items() if name in figures]
    rows = [*_rows(model, store, version), *measured]
    table = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)
    return (
        f"**Iteration {model.iteration} of the recipe `{recipe.name}`**: {family}, {network}. "
        f"{_cell(recipe.description).rstrip('.')}. "
        f"Curves, data and examples: [{REPORT_FILE}]({page}/{REPORT_FILE}).\n\n"
        f"| | |\n| --- | --- |\n{table}\n\n{_how_to_load(version)}\n\n{SIGNATURE}\n"
    )


def describe_model(recipe: Recipe) -> str:
    """The description of a registered model."""
    return (
        f"{_cell(recipe.description)}\n\n"
        f"Each iteration of the recipe `{recipe.name}` is a version. `champion` is the best one by the recipe's gate, "
        "`candidate` the newest, `iteration-N` the one of iteration N. A version's description says what it learnt "
        f"from; its `lineage.json` has every key.\n\n{SIGNATURE}\n"
    )


def write_words(registry: Registry, version: Version, of_version: str, of_model: str) -> None:
    """Put the texts on MLflow's pages, except where a person wrote one."""
    client, number = registry.client, str(version.version)
    model = client.get_registered_model(version.name).description
    if _is_ours(model) and model != of_model:
        client.update_registered_model(version.name, of_model)
    found = client.get_model_version(version.name, number).description
    if _is_ours(found) and found != of_version:
        client.update_model_version(version.name, number, of_version)
    client.set_tag(version.run_id, "mlflow.note.content", of_version)


def _is_ours(text: str | None) -> bool:
    return not text or not text.strip() or SIGNATURE in text


def _rows(model: Model, store: Store, version: Version) -> Iterator[tuple[str, str]]:
    hours = [(item.corpus.name, store.facts(item, ShardsFacts).hours) for item in model.shards]
    total = sum(amount for _, amount in hours)
    yield "speech", f"{total:.2f} h: " + ", ".join(f"{name} {amount:.2f} h" for name, amount in hours)
    if others := [item.corpus.name for item in (*model.noise, *model.rooms)]:
        yield "mixed with", ", ".join(others)
    if quality := label_quality_of(model.labels, store):
        yield "labels", f"{quality.features}, K={quality.num_clusters}, PNMI {quality.pnmi:.4f}"
    elif model.codebook:
        yield "labels", f"{model.codebook.name}"
    if teacher := version.tags.get("teacher.version"):
        yield "labels made by", f"version {teacher}"
    if start := describe_start(model, store):
        yield "started from", start
    yield "updates", f"{model.train.updates:,}"


def _how_to_load(version: Version) -> str:
    return (
        "Load it:\n\n```python\n"
        "import mlflow\n"
        "from transformers import AutoModel\n\n"
        f'folder = mlflow.artifacts.download_artifacts("models:/{version.name}/{version.version}")\n'
        "model = AutoModel.from_pretrained(folder)\n"
        "```"
    )


def _cell(text: str) -> str:
    """Text on one line, safe inside a table cell, and without HTML."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
