"""The page docs/evaluation/learn.md: one row per system, with what is not measured named as such."""

from __future__ import annotations

from collections.abc import Sequence

from tests.learn.rows import Bounded, LearnRow
from tests.learn.seeds import SeedRun, seed_table

HEAD = """\
# Do the small systems learn?

`make learn` writes this page. Each small system of `data_specs/finetunes` is trained on real speech, and scored once on
recordings of voices that training has not met. Beside it: the same system without training (the weights that it begins
with), and a trivial answer. A gain is the difference between two figures on the same recordings; its 95 % interval is
that of a paired bootstrap, which draws both systems alike. **yes** means that the intervals of both gains lie above 0.

28 voices read, 1.8 h (LibriSpeech test-clean); phrases are these sentences, cut between words; five voices say digits
(Free Spoken Digit Dataset); meetings are ten clips of 30 s (AMI). Mixtures and talks of `simulated` rows are made of
that real speech; no voice is synthetic. The model below recognition and spotting is the demo's champion: 0.8 M numbers,
minutes of pre-training. So these figures say that the pipeline trains; they compare with no published ones.

Rows on AMI are no small variants: the verifier learned 14 reading voices, the stops of clustering are those of talks,
and may not be chosen on the clips. In four of them one voice has more than 80 % of the speech, and in one of them two
speak at a time; so one speaker always is hard to beat.

"""
COLUMNS = (
    "system",
    "task, figure",
    "trained",
    "not trained",
    "gain over it",
    "trivial answer",
    "gain over it",
    "beats both",
    "test data",
    "speech",
    "n, voices, minutes",
    "minutes, CPU s",
    "commit, date",
)


def page(rows: Sequence[LearnRow], names: Sequence[str], runs: Sequence[SeedRun] = ()) -> str:
    """The text of the page: rows in the order of `names`; a name without a row was not run.

    runs: of the same systems with other seeds.
    """
    measured = {row.system: row for row in rows}
    lines = [_line(measured[name]) if name in measured else _missing(name) for name in names]
    spent, controls = sum(row.cpu_s for row in rows) / 60, sum(row.control_cpu_s for row in rows) / 60
    spreads = "; ".join(
        f"{spread}: {', '.join(f'`{row.system}`' for row in rows if row.intervals == spread)}"
        for spread in sorted({row.intervals for row in rows})
    )
    failed = [row.system for row in rows if not row.beats_both]
    absent = [name for name in names if name not in measured]
    return HEAD + "\n".join(
        [
            _table_line(COLUMNS),
            "|" + "---|" * len(COLUMNS),
            *lines,
            "",
            f"{len(rows)} of {len(names)} rows, {spent:.0f} CPU minutes, {controls:.0f} more for what is not trained, "
            f"and {sum(run.cpu_s for run in runs) / 60:.0f} for other seeds. One run and one seed each, but where "
            "other seeds stand below. Minutes, by the clock of a busy machine, "
            "and CPU seconds are those of the training with its scores on dev and test; of clusterings, those of "
            "diarizing, and of the back-end's fit.",
            "",
            f"Do not beat both: {', '.join(failed) or 'none'}. Not run: {', '.join(absent) or 'none'}.",
            "",
            f"Intervals: {spreads or 'none'}.",
            *seed_table([measured[name] for name in names if name in measured], runs),
            "",
        ]
    )


def _line(row: LearnRow) -> str:
    return _table_line(
        (
            f"`{row.system}`",
            f"{row.task}, {row.figure} ({row.unit}, {'lower' if row.is_lower_better else 'higher'} is better)",
            _bounded(row.trained, row),
            _bounded(row.untrained, row),
            _bounded(row.over_untrained, row),
            f"{_bounded(row.baseline, row)}: {row.baseline_name}",
            _bounded(row.over_baseline, row),
            "yes" if row.beats_both else "**NO**",
            row.data,
            row.reality,
            f"{row.test.utterances}, {row.test.speakers}, {row.test.minutes:.1f}",
            f"{row.minutes:.1f}, {row.cpu_s:.0f}",
            f"{row.commit}, {row.date}",
        )
    )


def _missing(name: str) -> str:
    return _table_line((f"`{name}`", "not run", *[""] * (len(COLUMNS) - 2)))


def _bounded(figure: Bounded, row: LearnRow) -> str:
    scale = 100 if row.unit == "%" else 1
    digits = 1 if row.unit == "%" else 2
    if figure.low is None or figure.high is None:
        return f"{scale * figure.value:.{digits}f} (no interval)"
    return f"{scale * figure.value:.{digits}f} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
