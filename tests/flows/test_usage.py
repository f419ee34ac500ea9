"""Wrong command lines: one message with a code and what was probably meant, before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer import TyperException

from flows.cli.main import app
from flows.cli.usage import to_coded

ROOT = Path(__file__).parents[2]


def refuse(*arguments: str) -> str:
    with pytest.raises(TyperException) as caught:
        app(list(arguments), standalone_mode=False, prog_name="wavlm")
    return str(to_coded(caught.value))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pln demo", "USAGE: no such command 'pln'; at wavlm; did you mean plan?"),
        ("models lst", "USAGE: no such command 'lst'; at wavlm models; did you mean list?"),
        ("plan --stroe x demo", "USAGE: no such option: --stroe; at wavlm plan; did you mean --store?"),
        ("run demo", "USAGE: invalid value for '--workers'"),
        ("run", "USAGE: missing argument 'RECIPE'; at wavlm run; see wavlm run --help"),
        ("plan demo store third", "USAGE: got unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(line: str, message: str) -> None:
    words = line.split()
    if line == "run demo":
        words += ["--workers", "many"]
    refusal = refuse(*words)
    assert refusal.startswith(message)
    assert refusal.count("; ") == 2
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("stage lables demo", "labels"),
        ("stage SHARDS demo", "shards"),
        ("run demo --until pretrian", "pretrain"),
        ("check demo --until mix", "mixtures"),
        ("export m out --format fairseqq", "fairseq"),
    ],
)
def test_a_wrong_value_of_a_choice_names_the_nearest(line: str, meant: str) -> None:
    refusal = refuse(*line.split())
    assert refusal.endswith(f"did you mean {meant}?")
    assert " is not one of " in refusal


def complete(*words: str, store: Path | None = None) -> list[str]:
    """What bash offers at the last word."""
    variables = {"_WAVLM_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("wavlm", *words))}
    if store:
        variables["WAVLM_STORE"] = str(store)
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, **variables, "COMP_CWORD": str(len(words))},
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ver",), ["verify"]),
        (("plan", "wavlm-base-p"), ["wavlm-base-plus"]),
        (("stage", "la"), ["labels"]),
        (("stage", "shards", "demo", "--corpus", "asterisk-e"), ["asterisk-en", "asterisk-es"]),
        (("stage", "shards", "demo", "--iteration", ""), ["1", "2"]),
    ],
)
def test_a_shell_completes_what_may_be_typed(words: tuple[str, ...], offered: list[str]) -> None:
    assert complete(*words) == offered


def test_a_shell_completes_the_models_that_the_store_has_registered(tmp_path: Path) -> None:
    from wavlm.pipeline.registration import RegistrationFacts, write_registration

    folder = tmp_path / "register" / "mine-iteration1-0123456789ab"
    folder.mkdir(parents=True)
    facts = RegistrationFacts(
        name="mine", version=3, run_id="r", uri="u", source="s", sha256="0", aliases=("champion",), champion=""
    )
    write_registration(folder, facts)
    assert complete("models", "show", "mi", store=tmp_path) == ["mine", "mine:3", "mine@champion"]


def test_an_empty_store_is_no_store() -> None:
    """Of `--store "$UNSET"` the present folder would become a store."""
    assert "'--store'" in refuse("plan", "demo", "--store", "")
    assert refuse("status", "--store=").startswith("USAGE: ")


def test_a_mistyped_corpus_names_the_nearest(tiny_recipe: Path) -> None:
    from wavlm.errors import UsageError
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.selection import select
    from wavlm.specs.yaml import read_recipe

    with pytest.raises(UsageError, match="no shards of the corpus tiny-speach, there is: shards/tiny") as caught:
        select(plan(read_recipe(tiny_recipe)), "shards", corpus="tiny-speach")
    assert str(caught.value).endswith("; did you mean tiny-speech?")
    with pytest.raises(UsageError, match="no labels of iteration 7, there is: "):
        select(plan(read_recipe(tiny_recipe)), "labels", 7)
