"""The examples of Docker and Kubernetes: files that load, and that say the same as the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.deploy.wanted import DATA_POOL, TRAINING_POOL
from wavlm.errors import EXIT_LOCKED, EXIT_NO_RESOURCES, EXIT_STOPPED

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KUBERNETES = EXAMPLES / "kubernetes"
TEMPLATES = sorted(KUBERNETES.glob("job-template-*.json"))


def read_documents(path: Path) -> list[dict[str, Any]]:
    yaml = YAML(typ="safe")  # refuses a name that stands twice
    return list(yaml.load_all(path.read_text()))


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, their lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_copies_what_is_there_and_the_context_lets_through() -> None:
    found = instructions(EXAMPLES / "docker" / "Dockerfile")
    names = [name for name, _ in found]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
    copied = {item for name, rest in found if name == "COPY" for item in rest.split()[:-1]}
    assert copied >= {"wavlm", "tasks", "flows", "data_specs", "constraints.txt", "pyproject.toml", "setup.py"}
    assert all((ROOT / item).exists() for item in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{item}" for item in copied} <= set(ignored)
    assert found[names.index("USER")][1] not in {"root", "0"}
    python = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", found[0][1])
    assert python
    assert f"Programming Language :: Python :: {python[1]}" in (ROOT / "pyproject.toml").read_text()


def test_the_servers_of_the_composition_listen_on_loopback() -> None:
    (composition,) = read_documents(EXAMPLES / "docker" / "compose.yaml")
    services = composition["services"]
    assert all(port.startswith("127.0.0.1:") for item in services.values() for port in item.get("ports", ()))
    commands = " ".join(item["command"] for item in services.values())
    pools = set(re.findall(r"worker start --pool (\w+)", commands))
    assert pools == {DATA_POOL, TRAINING_POOL}
    for item in services.values():
        for volume in item.get("volumes", ()):
            assert volume.split(":")[0] in composition["volumes"]
    shipped = (ROOT / "prefect.toml").read_text()
    settings = services["prefect"]["environment"]
    for name in ("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER"):
        assert settings[name] in shipped


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_job_template_has_a_variable_for_each_of_its_placeholders(path: Path) -> None:
    template = json.loads(path.read_text())
    text = json.dumps(template["job_configuration"])
    assert set(re.findall(r"{{ (\w+) }}", text)) <= set(template["variables"]["properties"])
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (claim,) = (item["persistentVolumeClaim"] for item in pod["volumes"] if item["name"] == "store")
    assert claim["claimName"] == read_documents(KUBERNETES / "store.yaml")[0]["metadata"]["name"]
    mounted = {item["name"] for item in pod["containers"][0]["volumeMounts"]}
    assert mounted == {item["name"] for item in pod["volumes"]}


def test_only_the_template_of_training_asks_for_gpus() -> None:
    assert {path.stem: "nvidia.com/gpu" in path.read_text() for path in TEMPLATES} == {
        "job-template-data": False,
        "job-template-gpu": True,
    }


def test_the_job_of_several_machines_has_a_pod_for_each_and_as_many_gpus_as_it_says() -> None:
    (job,) = read_documents(KUBERNETES / "train-nodes.yaml")
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    command = container["command"]
    said = {word: command[at + 1] for at, word in enumerate(command) if word.startswith("--")}
    assert command[:2] == ["wavlm", "run"]
    assert int(said["--nodes"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(said["--gpus"]) == container["resources"]["limits"]["nvidia.com/gpu"]
    mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    assert mounts.keys() == {item["name"] for item in pod["spec"]["volumes"]}
    assert said["--scratch"] == mounts["scratch"]
    assert said["--store"].startswith(mounts["store"])
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == pod["metadata"]["labels"]
    assert int(said["--workers"]) <= int(container["resources"]["requests"]["cpu"])
    fails, ignores = job["spec"]["podFailurePolicy"]["rules"]
    assert ignores == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    refused = fails["onExitCodes"]["values"]
    assert not {0, EXIT_STOPPED, EXIT_NO_RESOURCES, EXIT_LOCKED} & set(refused)


def test_the_workers_of_the_cluster_may_do_what_they_need() -> None:
    documents = read_documents(KUBERNETES / "workers.yaml")
    account = next(item for item in documents if item["kind"] == "ServiceAccount")["metadata"]["name"]
    role = next(item for item in documents if item["kind"] == "Role")
    allowed = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {("jobs", "create"), ("jobs", "delete"), ("pods", "watch"), ("pods/log", "get")} <= allowed
    for item in documents:
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]
            assert item["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
            assert pod["spec"]["serviceAccountName"] == account
            assert "--type" in pod["spec"]["containers"][0]["command"]
