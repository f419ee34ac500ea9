"""An installed wheel carries data_specs: names work without a clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_specs.golden import SPECS
from wavlm.evaluation.results.published import FILE as PUBLISHED
from wavlm.pipeline.plan import plan
from wavlm.specs.yaml import read_recipe

ROOT = Path(__file__).parents[2]
PARTS = ("wavlm", "flows", "tasks", "data_specs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
# Runs `wavlm ...` and then writes every file that Python opened to stderr, one per line.
TRACED = """
import atexit, runpy, sys
opened = []
def note(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
sys.addaudithook(note)
atexit.register(lambda: print(*opened, sep="\\n", file=sys.stderr))
runpy.run_module("wavlm.execution.command", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with the wheel of this working tree, built from a copy."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    wheels = folder / "wheels"
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", wheels, source], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", wheel], check=True)
    shutil.rmtree(source)
    return folder / "site"


def run_wavlm(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`wavlm` of the installed wheel, run in a folder."""
    return subprocess.run(
        [sys.executable, "-c", TRACED, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_wheel_has_every_file_of_data_specs_and_nothing_else_there(site: Path) -> None:
    def files(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(site / "wavlm" / "data_specs") == files(SPECS)


@pytest.mark.slow
def test_the_wheel_has_the_published_figures(site: Path) -> None:
    assert (site / PUBLISHED.relative_to(ROOT)).read_bytes() == PUBLISHED.read_bytes()


@pytest.mark.slow
def test_the_wheel_has_the_templates_of_the_report(site: Path) -> None:
    folder = Path("wavlm/pipeline/report/templates")
    names = sorted(path.name for path in (ROOT / folder).iterdir())
    assert "report.html" in names
    assert sorted(path.name for path in (site / folder).iterdir()) == names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "wavlm-large"])
def test_a_recipe_is_planned_by_name_without_a_clone(name: str, site: Path, tmp_path: Path) -> None:
    done = run_wavlm(site, tmp_path, "plan", name)
    assert done.returncode == 0, done.stderr
    expected = [str(item) for item in plan(read_recipe(SPECS / "recipes" / f"{name}.yaml"))]
    assert re.findall(r"[a-z]+/\S+-(?:[0-9a-f]{12}\b|\?)", done.stdout) == expected
    opened = [path for path in map(Path, done.stderr.splitlines()) if not path.is_relative_to(sys.prefix)]
    assert site / "wavlm" / "data_specs" / "recipes" / f"{name}.yaml" in opened
    assert [path for path in opened if path.is_relative_to(ROOT)] == []


@pytest.mark.slow
def test_an_unknown_recipe_is_refused_with_the_recipes_of_the_wheel(site: Path, tmp_path: Path) -> None:
    done = run_wavlm(site, tmp_path, "plan", "dmeo")
    assert done.returncode == 2
    shipped = (
        "continue-base-plus, continue-large, demo, demo-base, demo-no-gate, demo-no-mixing, hubert-base, hubert-large, "
        "mhubert-style, mini-librispeech, small-from-base-plus, telephone-8khz, wav2vec2-base, wav2vec2-large, "
        "wavlm-base, wavlm-base-no-gate, wavlm-base-no-mixing, wavlm-base-plus, wavlm-large, wavlm-mini, wavlm-xlarge, "
        "weekly, wideband-24khz"
    )
    assert f"{shipped} ({site}" in done.stderr.replace("\n", "")


@pytest.mark.slow
def test_the_wheel_carries_the_automations(site: Path) -> None:
    source = ROOT / "flows" / "deploy"
    shipped = {path.name: path.read_bytes() for path in (site / "flows" / "deploy").glob("*.yaml")}
    assert shipped == {path.name: path.read_bytes() for path in source.glob("*.yaml")}
    assert shipped
