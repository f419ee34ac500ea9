"""`wavlm deploy` refuses in one line what it cannot use, before it asks a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.waiting import LIMIT_SECONDS
from wavlm.errors import CodedError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--nightly", "25:00"], "SCHEDULE_BAD: '25:00' is no time to run at; at --nightly; "),
        (["--nightly", ""], "SCHEDULE_BAD: '' is no time to run at; at --nightly; "),
        (["--weekly", "soon"], "SCHEDULE_BAD: 'soon' is no time to run at; at --weekly; "),
        (["--timezone", "Nowhere"], "SCHEDULE_BAD: 'Nowhere' is no time zone; at --timezone; "),
        (["--env", "MLFLOW"], "ENV_BAD: 'MLFLOW' is no variable; at --env; "),
        (["--env", "A B=1"], "ENV_BAD: 'A B=1' is no variable; at --env; "),
        (["--webhook", "chat.example.org/secret"], "WEBHOOK_BAD: this is no address of HTTP; at --webhook; "),
        (["--webhook", "http://[secret"], "WEBHOOK_BAD: this is no address of HTTP; at --webhook; "),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: list[str], refusal: str, tiny_recipe: Path) -> None:
    before = dict(os.environ)
    done = CliRunner().invoke(app, ["deploy", str(tiny_recipe), *options])
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    assert isinstance(done.exception, CodedError)
    assert str(done.exception).startswith(refusal)
    assert "secret" not in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "code", "refusal"),
    [("", 2, "PREFECT_UNSET: no Prefect server is named; "), ("http://127.0.0.1:9/api", 69, "PREFECT_DOWN: ")],
)
def test_a_server_that_is_not_there_is_refused(
    url: str, code: int, refusal: str, tiny_recipe: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "deploy", str(tiny_recipe)],
        cwd=ROOT, env={**environment, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(refusal)
