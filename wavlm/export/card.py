"""The model card: the network, its training data with licences and citations, its results and its lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wavlm.export.facts import Origin
from wavlm.specs import NetworkSpec
from wavlm.specs.frames import sample_rate_of

FRONT_MATTER = """---
library_name: transformers
license: other
tags:
- speech
- self-supervised
- {family}
---
"""

STARTED = (
    " They are also derived from other weights (see Numbers and Lineage). What those weights were learnt from is not "
    "listed here, and its licences bind, too."
)
SAMPLE_COLUMNS = ("labels", "corpus", "share of the sample", "utterances", "speakers", "hours of the corpus")
FILES = """| file | what it is |
| --- | --- |
| `config.json`, `model.safetensors`, `preprocessor_config.json` | the network for transformers, from version 4.28 on |
| `pretraining_head.safetensors` | the head (projection, label embeddings), with which {family} pre-training can go on |
| `MLmodel` | only in a registry: for `mlflow.pyfunc.load_model`, where this pipeline is installed: hidden states |
| `native/` | only in a registry: the same network and head in this pipeline's own form, and its training curve |

`wavlm.load` of this pipeline reads the folder, and `native/` too."""

HEAD_ROW = "| `pretraining_head"  # where transformers has a class for network and head, they are in one file


@dataclass(frozen=True)
class Card:
    """The content of a model card, apart from the network."""

    name: str
    key: str  # of the Model artifact
    origins: tuple[Origin, ...]  # speech, noise and room impulse responses of the training, and models it continues
    lineage: tuple[str, ...] = ()  # folders of all artifacts that it was made from, inputs first
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    samples: tuple[tuple[str, ...], ...] = ()  # what k-means was fitted on: rows of SAMPLE_COLUMNS
    has_start: bool = False  # it or a teacher comes from other weights, of which nobody says what they learnt from
    summary: str = ""
    results: tuple[tuple[str, ...], ...] = ()  # of evaluations: the names of columns, then rows
    synthetic_results: tuple[tuple[str, ...], ...] = ()  # likewise, of speech that a synthesiser made: no claims
    result_notes: tuple[str, ...] = ()  # what a reader of them has to know
    centres: str = ""  # around which layers they are, as a sentence
    is_contrastive: bool = False  # pre-trained as wav2vec 2.0, with a quantiser


def model_card(card: Card, network: NetworkSpec) -> str:
    """The card as Markdown, with the front matter that model hubs use."""
    family = "wav2vec 2.0" if card.is_contrastive else "WavLM" if network.gated_bias else "HuBERT"
    aim = "a contrastive objective" if card.is_contrastive else "masked prediction of cluster labels"
    parts = [
        FRONT_MATTER.format(family=family.lower().replace(" 2.0", "2")),
        f"# {_line(card.name)}\n\nA {family} encoder, pre-trained by {aim}. {_line(card.summary)}".rstrip(),
        _usage(network, family, card),
        _table("Numbers", ("what", "value"), [(k, str(v)) for k, v in card.numbers.items()]),
        *([_results(card)] if card.results or card.synthetic_results else []),
        *([_table("Labels were fitted on", SAMPLE_COLUMNS, list(card.samples))] if card.samples else []),
        _table(
            "Learnt from",
            ("what", "role", "licence", "homepage"),
            [(item.name, item.role, item.license or "not stated", item.homepage) for item in card.origins],
        ),
        "The weights are derived from these; their licences bind what you do with them."
        + (STARTED if card.has_start else ""),
        "## Please cite\n\n" + "\n".join(f"- {_line(item.citation)}" for item in card.origins if item.citation),
        f"## Lineage\n\nModel `{_line(card.key)}`, made from\n\n"
        + "\n".join(f"- `{_line(folder)}`" for folder in card.lineage),
    ]
    return "\n\n".join(parts) + "\n"


def _results(card: Card) -> str:
    listed = "\n".join(f"- {_line(note)}" for note in card.result_notes)
    summary = "<summary>What each column is, and what to know of its figures</summary>"
    notes = f"<details>{summary}\n\n{listed}\n\n</details>" if listed else ""
    tables = (
        ("Results of evaluations", card.results),
        ("Results on synthetic speech, which are no claims", card.synthetic_results),
    )
    parts = [_table(title, table[0], list(table[1:])) for title, table in tables if table]
    return "\n\n".join(filter(None, [*parts, _line(card.centres), notes]))


def _usage(network: NetworkSpec, family: str, card: Card) -> str:
    has_class = card.is_contrastive and not network.gated_bias
    loader = "Wav2Vec2ForPreTraining" if has_class else "WavLMModel" if network.gated_bias else "HubertModel"
    lines = [line for line in FILES.splitlines() if not (has_class and line.startswith(HEAD_ROW))]
    text = (
        f"## Use\n\n```python\nfrom transformers import {loader}\n\n"
        f'model = {loader}.from_pretrained("path/to/this/folder")\n```\n\n'
        f"Input is {sample_rate_of(network) / 1000:g} kHz mono speech in [-1, 1]; "
        f"{network.num_layers} layers, width "
        f"{network.width}, {network.num_heads} heads.\n\n" + "\n".join(lines).format(family=family)
    )
    if network.extractor_norm == "group":
        text += (
            "\n\nThe first norm of the convolutions runs over time, so an utterance changes when "
            "it is padded: give one at a time where that matters."
        )
    if network.normalize_waveform:
        text += (
            "\n\nWaveforms were normalised to mean 0 and variance 1 with eps 1e-5, "
            "`(x - mean) / sqrt(variance + 1e-5)`. The feature extractor of transformers uses "
            "1e-7; for quiet recordings (rms below 0.01) normalise yourself."
        )
    return text


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    cells = "\n".join("| " + " | ".join(_line(cell) for cell in line) + " |" for line in lines)
    return f"## {title}\n\n{cells}"


def _line(text: str) -> str:
    """Text on one line, safe inside a table cell."""
    return " ".join(text.split()).replace("|", r"\|")
