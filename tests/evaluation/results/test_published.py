"""Published figures: the file agrees with itself, keeps its conflicts known, and prints only what its source says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.test_superb import FIGURES
from wavlm.errors import BadDataError
from wavlm.evaluation.results.board import Board, StoredResult, keep
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
    columns_of,
    differences,
    footnotes,
    published_long_rows,
    published_tables,
    to_markdown,
)

ROWS = read_published()
UNITS = {
    "mtwv": {"", "x100"},
    "bleu": {""},
    "pesq": {""},
    "si_sdri": {"dB"},
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
                Figure(name=row.metric, value=row.number, is_lower_better=row.is_lower_better)
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


def board_of(*results: EvaluationFacts) -> Board:
    """Each result of a model of its own, unless two have one name and different evaluations."""
    return keep([StoredResult(it, f"{n}-of-{it.subject}", it.evaluation) for n, it in enumerate(results)])


def test_ours_stands_beside_published_figures_of_the_same_protocol_alone() -> None:
    rows = select(ROWS, "superb", versions=("v1",), tasks=("ks", "sid"))
    tables = dict(published_tables(rows, board_of(result("superb/ks"), result("", subject="small data"))))
    comparable, other = tables[f"{COMPARABLE}: content"], tables[f"{NOT_COMPARABLE}: speaker"]
    assert comparable[0] == {"model": "mine", "from": "ours", "ks accuracy": "95.12 %"}
    assert {"model": "WavLM Large", "from": "v1", "ks accuracy": "97.40 %"} in comparable
    assert {"model": "WavLM Large", "from": "v1", "sid accuracy": "95.25 %"} in other
    assert len(tables) == 2
    assert "small data" not in str(tables)


def test_models_of_one_name_and_evaluations_of_one_task_have_rows_of_their_own() -> None:
    rows = select(ROWS, "superb", versions=("v1",), tasks=("ks",))
    low, high = (
        result("superb/ks", subject="random", figures=(Figure(name="accuracy", value=it),)) for it in (0.3, 0.6)
    )
    found = StoredResult(low, "1111112222", "a"), StoredResult(high, "3333334444", "a")
    (_, table), *_ = published_tables(rows, Board(found))
    assert table[:2] == [
        {"model": "random (111111)", "from": "ours", "ks accuracy": "30.00 %"},
        {"model": "random (333333)", "from": "ours", "ks accuracy": "60.00 %"},
    ]
    found = StoredResult(low, "1111112222", "aaaaaaaa"), StoredResult(high, "1111112222", "bbbbbbbb")
    (_, table), *_ = published_tables(rows, Board(found))
    assert [(row["system"], row["ks accuracy"]) for row in table[:2]] == [
        ("ks (aaaaaa)", "30.00 %"),
        ("ks (bbbbbb)", "60.00 %"),
    ]


def test_a_metric_has_one_name_in_published_rows_and_in_ours() -> None:
    """Of the tasks that we score as published, which are those whose shipped evaluation is in the dry run."""
    known = {row.task: row.protocol for row in ROWS if row.protocol}
    for task in ("pr", "asr", "ks", "qbe", "sid", "asv", "sd", "er", "ic", "sf", "st", "se", "ss"):
        (ours, _), metrics = FIGURES[f"superb-{task}"], {row.metric for row in ROWS if row.task == task}
        assert metrics <= set(ours), f"{task}: a column of its own beside {known.get(task, 'no protocol')}"


def test_programs_get_published_figures_with_their_source_on_our_scale() -> None:
    rows = select(ROWS, "superb", versions=("v1",), tasks=("ks", "pr"))
    found = list(published_long_rows(rows, board_of(result("superb/ks", evaluation="superb-ks"))))
    large = {row["task"]: row for row in found if row["model"] == "WavLM Large"}
    assert (large["ks"]["value"], large["ks"]["source"]) == (pytest.approx(0.974), "published, v1")
    assert [large[task]["evaluation"] for task in ("ks", "pr")] == ["superb-ks", ""]
    assert [large[task]["lower_is_better"] for task in ("ks", "pr")] == [0, 1]


@pytest.mark.parametrize("changes", [{"protocol": ""}, {"protocol": "superb/sid"}, {"was_cut": True}])
def test_other_protocols_and_parts_of_the_data_are_not_comparable(changes: dict[str, object]) -> None:
    row = select(ROWS, "superb", tasks=("ks",))[0]
    assert are_comparable(row, result("superb/ks"))
    other = result(**{"protocol": "superb/ks"} | changes)
    assert not are_comparable(row, other)
    assert [title for title, _ in published_tables([row], board_of(other))] == [f"{NOT_COMPARABLE}: content"]


def test_a_deviation_from_a_protocol_stands_apart_with_its_reason() -> None:
    row = select(ROWS, "superb", tasks=("sd",))[0]
    figures = (Figure(name="der", value=0.1), Figure(name="der_best_on_test", value=0.09))
    ours = result("superb/sd", task="sd", evaluation="superb-sd", deviation="a threshold of ours", was_cut=True)
    ours = ours.model_copy(update={"figures": figures})
    ((title, table),) = published_tables([row], board_of(ours))
    assert title == f"{NOT_COMPARABLE}: speaker"
    assert [line["from"] for line in table] == ["ours", row.version]
    assert table[0] == {"model": "mine", "from": "ours", "sd der": "10.00 %"}  # what nobody published is left out
    assert differences(board_of(ours, result("superb/ks"))) == [
        "ours, superb-sd: not comparable: a threshold of ours; not all of the data was used"
    ]


def test_a_row_without_a_protocol_stands_beside_no_result_without_one() -> None:
    row = select(ROWS, "verification")[0]
    assert not row.protocol
    assert not are_comparable(row, result(""))


def test_a_table_in_markdown_has_a_line_per_model_and_source() -> None:
    rows = [row for row in select(ROWS, "verification") if row.model == "HuBERT Large"]
    (title, table), *_ = published_tables(rows)
    assert to_markdown(title, table).splitlines() == [
        "**published, not comparable: verification**",
        "",
        "| model | system | from | Vox1-O | Vox1-E | Vox1-H |",
        "| --- | --- | --- | --- | --- | --- |",
        "| HuBERT Large |  | v5 | 0.808 % | 0.822 % | 1.678 % |",
        "| HuBERT Large | fine-tuned, large margin, calibrated | v5 | 0.585 % | 0.654 % | 1.342 % |",
        "| HuBERT Large | fine-tuned, large margin, calibrated | readme | 0.585 % | 0.654 % | 1.342 % |",
        "| HuBERT Large | frozen | readme | 0.888 % | 0.912 % | 1.853 % |",
    ]
    assert any("without the words large margin" in note for note in footnotes(rows))


def test_no_table_of_published_figures_is_wider_than_a_page() -> None:
    for title, table in published_tables(ROWS):
        assert len(columns_of(table)) <= 9, title


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
