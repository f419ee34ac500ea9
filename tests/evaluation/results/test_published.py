"""Published figures: the file agrees with itself, keeps its conflicts known, and prints only what its source says."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows.cli.published import rich_tables
from wavlm.errors import BadDataError
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.evaluation.results.groups import overall
from wavlm.evaluation.results.published import (
    FILE,
    PublishedFigure,
    are_comparable,
    find_conflicts,
    read_published,
    select,
)
from wavlm.evaluation.results.published_tables import (
    COMPARABLE,
    NOT_COMPARABLE,
    differences,
    footnotes,
    published_tables,
    to_markdown,
)

ROWS = read_published()
ERRORS = {"eer", "der", "per", "wer", "slot_value_cer", "error_rate"}
UNITS = {
    "mtwv": {"", "x100"},
    "bleu": {""},
    "pesq_wb": {""},
    "si_sdr_improvement": {"dB"},
    "mcd": {"dB"},
    "score": {""},
}

# What is known to have several values, as printed, and the versions that they are from.
SUPERB_CHANGED = {  # the preprint's, the journal's
    ("WavLM Base", "sd"): ("4.83", "4.55"),
    ("WavLM Base+", "sid"): ("86.84", "89.42"),
    ("WavLM Base+", "sd"): ("4.07", "3.50"),
    ("WavLM Base+", "er"): ("67.98", "68.65"),
    ("WavLM Large", "sid"): ("95.25", "95.49"),
    ("WavLM Large", "asv"): ("4.04", "3.77"),
    ("WavLM Large", "sd"): ("3.47", "3.24"),
    ("WavLM Large", "er"): ("70.03", "70.62"),
    ("HuBERT Base", "overall"): ("80.8", "70.9"),
    ("WavLM Base", "overall"): ("81.9", "72.0"),
    ("WavLM Base without mixing", "overall"): ("81.5", "71.7"),
    ("WavLM Base+", "overall"): ("82.8", "73.4"),
    ("wav2vec 2.0 Large", "overall"): ("80.8", "70.4"),
    ("HuBERT Large", "overall"): ("82.2", "72.2"),
    ("WavLM Large", "overall"): ("84.6", "74.6"),
}
LARGE_MARGIN = "fine-tuned, large margin, calibrated"
VERIFICATION = {
    ("ECAPA-TDNN (literature)", "", "Vox1-O"): {"0.87", "1.010"},
    ("ECAPA-TDNN (literature)", "", "Vox1-E"): {"1.12", "1.240"},
    ("ECAPA-TDNN (literature)", "", "Vox1-H"): {"2.12", "2.320"},
    ("WavLM Large", "frozen", "Vox1-O"): {"0.75", "0.638", "0.59"},
    ("WavLM Large", "frozen", "Vox1-E"): {"0.764", "0.687", "0.65"},
    ("WavLM Large", "frozen", "Vox1-H"): {"1.548", "1.457", "1.328"},
    ("WavLM Large", "fine-tuned", "Vox1-O"): {"0.505", "0.617"},
    ("WavLM Large", "fine-tuned", "Vox1-E"): {"0.579", "0.662"},
    ("WavLM Large", "fine-tuned", "Vox1-H"): {"1.176", "1.318"},
    ("WavLM Large", LARGE_MARGIN, "Vox1-O"): {"0.431", "0.33", "0.383", "0.631", "0.50"},
    ("WavLM Large", LARGE_MARGIN, "Vox1-E"): {"0.538", "0.477", "0.480"},
    ("WavLM Large", LARGE_MARGIN, "Vox1-H"): {"1.154", "0.984", "0.986"},
}


def superb(model: str, version: str) -> list[PublishedFigure]:
    return [row for row in select(ROWS, "superb", versions=(version,)) if row.model == model]


def as_results(rows: list[PublishedFigure]) -> list[EvaluationFacts]:
    """Published rows in the form of our results, one per task."""
    tasks = dict.fromkeys(row.task for row in rows if row.task != "overall")
    return [
        EvaluationFacts(
            evaluation=task,
            task=task,
            subject=rows[0].model,
            reality="real",
            figures=tuple(
                Figure(name=row.metric, value=row.number, is_lower_better=row.metric in ERRORS)
                for row in rows
                if row.task == task
            ),
        )
        for task in tasks
    ]


PREPRINT_MODELS = list(dict.fromkeys(row.model for row in select(ROWS, "superb", versions=("v1",))))


@pytest.mark.parametrize("model", PREPRINT_MODELS)
def test_the_overall_score_of_the_preprint_follows_from_its_other_columns(model: str) -> None:
    """The printed columns are rounded, so the mean may round to the next tenth."""
    rows = superb(model, "v1")
    printed = next(row for row in rows if row.task == "overall")
    found = overall(as_results(rows))
    assert found.score == pytest.approx(float(printed.value), abs=0.051)
    assert len(found.scored) == 10


def test_the_preprint_has_all_its_rows_and_columns() -> None:
    assert len(PREPRINT_MODELS) == 18
    assert {len(superb(model, "v1")) for model in PREPRINT_MODELS} == {12}


def test_each_metric_has_its_unit() -> None:
    for row in ROWS:
        chance = row.model == "FBANK" and row.task == "sid"  # printed as a fraction
        assert row.unit in (UNITS.get(row.metric, {"%"}) | ({""} if chance else set())), row


def test_rates_lie_between_0_and_1_on_our_scale() -> None:
    for row in ROWS:
        if row.unit in {"%", "x100"} or row.metric == "mtwv":
            assert 0 <= row.number < 1, row


def test_every_conflict_between_sources_is_a_known_one() -> None:
    found = find_conflicts(ROWS)
    changed = {
        (model, task): tuple(row.value for row in sorted(group, key=lambda row: row.version))
        for (model, _, task, _, _), group in found.items()
        if task != "verification"
    }
    verification = {
        (model, system, condition): {row.value for row in group}
        for (model, system, task, _, condition), group in found.items()
        if task == "verification"
    }
    assert changed == SUPERB_CHANGED
    assert verification == VERIFICATION


def test_rows_from_memory_and_doubtful_rows_are_kept_but_never_printed() -> None:
    hidden = [row for row in ROWS if not row.is_printable]
    assert {row.certainty for row in hidden if not row.doubt} == {"mem"}
    doubtful = [row for row in hidden if row.doubt]
    assert {(row.table, row.model) for row in doubtful} == {
        ("diarization", "WavLM Base"),
        ("separation", "WavLM Large"),
    }
    for table in ("superb", "diarization", "separation"):
        assert not set(hidden) & set(select(ROWS, table))
    printed = "".join(to_markdown(*each) for each in published_tables(ROWS))  # also where somebody forgets to select
    assert "11.75" not in printed
    assert "42.81" not in printed  # out-of-domain recognition of WavLM Base, from memory
    assert "10.35 %" in printed


def result(protocol: str, **changes: object) -> EvaluationFacts:
    fields = {
        "evaluation": "ks",
        "task": "ks",
        "subject": "mine",
        "reality": "real",
        "protocol": protocol,
        "figures": (Figure(name="accuracy", value=0.9512),),
    }
    return EvaluationFacts.model_validate(fields | changes)


def test_ours_stands_beside_published_figures_of_the_same_protocol_alone() -> None:
    rows = select(ROWS, "superb", versions=("v1",), tasks=("ks", "sid"))
    tables = dict(published_tables(rows, [result("superb/ks"), result("", subject="small data")]))
    comparable, other = tables[COMPARABLE], tables[NOT_COMPARABLE]
    assert comparable[0] == {"model": "mine", "from": "ours", "ks accuracy": "95.12 %"}
    assert {"model": "WavLM Large", "from": "v1", "ks accuracy": "97.40 %"} in comparable
    assert all("sid accuracy" not in row for row in comparable)
    assert {"model": "WavLM Large", "from": "v1", "sid accuracy": "95.25 %"} in other
    assert all("ks accuracy" not in row for row in other)
    assert "small data" not in str(tables)


@pytest.mark.parametrize("changes", [{"protocol": ""}, {"protocol": "superb/sid"}, {"was_cut": True}])
def test_other_protocols_and_parts_of_the_data_are_not_comparable(changes: dict[str, object]) -> None:
    row = select(ROWS, "superb", tasks=("ks",))[0]
    assert are_comparable(row, result("superb/ks"))
    other = result(**{"protocol": "superb/ks"} | changes)
    assert not are_comparable(row, other)
    assert [title for title, _ in published_tables([row], [other])] == [NOT_COMPARABLE]


def test_a_deviation_from_a_protocol_stands_apart_with_its_reason() -> None:
    row = select(ROWS, "superb", tasks=("sd",))[0]
    ours = result("superb/sd", task="sd", evaluation="superb-sd", deviation="a threshold of ours", was_cut=True)
    ((title, table),) = published_tables([row], [ours])
    assert title == NOT_COMPARABLE
    assert [line["from"] for line in table] == ["ours", row.version]
    assert differences([ours, result("superb/ks")]) == [
        "ours, superb-sd: not comparable, for a threshold of ours; not all of the data was used"
    ]


def test_a_row_without_a_protocol_stands_beside_no_result_without_one() -> None:
    row = select(ROWS, "verification")[0]
    assert not row.protocol
    assert not are_comparable(row, result(""))


def test_a_table_in_markdown_has_a_line_per_model_and_source() -> None:
    rows = [row for row in select(ROWS, "verification") if row.model == "HuBERT Large"]
    (title, table), *_ = published_tables(rows)
    assert to_markdown(title, table).splitlines() == [
        "**published, not comparable**",
        "",
        "| model | system | from | Vox1-O | Vox1-E | Vox1-H |",
        "| --- | --- | --- | --- | --- | --- |",
        "| HuBERT Large |  | v5 | 0.808 % | 0.822 % | 1.678 % |",
        "| HuBERT Large | fine-tuned, large margin, calibrated | v5 | 0.585 % | 0.654 % | 1.342 % |",
        "| HuBERT Large | fine-tuned, large margin, calibrated | readme | 0.585 % | 0.654 % | 1.342 % |",
        "| HuBERT Large | frozen | readme | 0.888 % | 0.912 % | 1.853 % |",
    ]
    assert any("without the words large margin" in note for note in footnotes(rows))


def test_the_terminal_shows_the_same_cells_under_the_same_title() -> None:
    console = Console(file=io.StringIO(), width=200)
    rows = [row for row in select(ROWS, "verification") if row.model == "HuBERT Large"]
    for table in rich_tables(rows):
        console.print(table)
    shown = console.file.getvalue()
    assert NOT_COMPARABLE in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["model", "system", "from", "Vox1-O", "Vox1-E", "Vox1-H"] in lines
    assert ["HuBERT", "Large", "frozen", "readme", "0.888", "%", "0.912", "%", "1.853", "%"] in lines


def test_the_file_in_the_documents_is_the_one_that_is_read() -> None:
    assert (Path(__file__).parents[3] / "docs/evaluation/published.csv").resolve() == FILE.resolve()


HEAD = FILE.read_text(encoding="utf-8").splitlines()[0]
GOOD = "superb,M,,ks,accuracy,,96.3,%,v1,superb/ks,,a table,img,"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD, GOOD, GOOD], "PUBLISHED_BAD: found a second row of M, ks, accuracy, .* in line 3 of"),
        ([HEAD, GOOD.replace("96.3", "96,3")], "PUBLISHED_BAD"),
        ([HEAD, GOOD.replace("96.3", "n/a")], "found 'n/a' in value, expected String should match .* in line 2 of"),
        ([HEAD, GOOD.replace("v1", "v2")], "found 'v2' in version, expected Input should be 'v1', 'v5'"),
        ([HEAD, GOOD.replace("a table", "")], "found '' in source"),
        ([HEAD.replace("doubt", "doubts"), GOOD], "found columns table, .*doubts, expected table, .*doubt; in line 1"),
        ([], "found columns none, expected table"),
    ],
)
def test_a_bad_file_is_refused_by_line_and_column(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(BadDataError, match=message):
        read_published(path)
