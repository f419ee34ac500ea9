"""The commands that README and docs show, and for each why a test cannot run it, if it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
    if path.name not in ("log.md", "algorithm.md", "extend.md")  # notes; formulas; a guide with a test of its own
)
SHELLS = ("", "sh", "bash", "console")
PROGRAMS = frozenset(
    {"wavlm", "prefect", "mlflow", "make", "python", "pip", "docker", "kubectl", "helm", "sbatch", "srun", "squeue"}
)
# Words of the shell itself that a block of commands may have.
BUILT_IN = frozenset({".", "cd", "export", "source", "mkdir", "chmod", "cp", "cat", "curl", "EOF"})
PLACEHOLDERS = {"RECIPE": "data_specs/recipes/demo.yaml"}
# What does not end, needs another machine, or has a test of its own. By the beginning of the line.
NOT_RUN = {
    "wavlm ui": "serves until it is stopped; tests/servers",
    "wavlm deploy": "needs a Prefect server; tests/servers",
    "wavlm run data_specs/recipes/demo-base.yaml": "needs a GPU",
    "wavlm run data_specs/recipes/mini-librispeech.yaml": "downloads 459 MB",
    "wavlm run data_specs/recipes/demo-no-mixing.yaml": "takes minutes; tests/data_specs/test_ablations.py",
    "wavlm run data_specs/recipes/demo-no-gate.yaml": "takes minutes; tests/data_specs/test_ablations.py",
    "wavlm evaluate": "downloads a corpus and fits heads for minutes; tests/flows/test_evaluate.py",
    "wavlm results": "needs evaluations; tests/flows/test_evaluate.py",
    "wavlm refresh weekly.yaml": "continues a released model for hours; tests/field/test_weekly.py",
    "wavlm run my.yaml": "begins with a recipe of the reader's own, on a cluster; tests/field/test_executors.py",
    "wavlm verify --mirror": "needs object storage; tests/pipeline/mirror",
    "wavlm gc --mirror": "needs object storage; tests/pipeline/mirror",
    "wavlm push s3://speech/wavlm": "needs object storage; tests/pipeline/mirror",
    "wavlm fetch s3://speech/wavlm": "needs object storage; tests/pipeline/mirror",
    "wavlm finetune sd-eend-vc-small": "downloads 346 MB; tests/evaluation/eend",
    "wavlm finetune sd-eend-vc-ami": "needs a registered system and AMI; tests/finetune/test_start_head.py",
    "wavlm simulate": "downloads 346 MB; tests/mixing/test_conversations.py",
    "wavlm diarize": "needs a trained system; tests/systems/diarization",
    "wavlm diarize-fit": "needs a trained system; tests/systems/diarization",
    "wavlm features wavlm-demo@champion": "needs a registered model; tests/evaluation/test_folder_features.py",
    "wavlm export wavlm-demo@champion --format onnx": "exports for a minute; tests/export/test_onnx.py",
    "export": "sets variables of the shell",
    "first=$(sbatch": "needs Slurm; tests/examples",
    "srun": "needs Slurm; tests/examples",
    "dask": "needs a cluster; tests/execution/test_cluster.py",
    "make": "downloads and installs, or takes minutes",
    "python -m benchmarks": "takes minutes",
    "python -m benchmarks.scale": "takes minutes",
    "python -m pytest -m gpu": "needs a GPU",
    "prefect": "needs a server, pools and workers; tests/servers",
    "mlflow": "serves until it is stopped",
    "docker": "needs Docker; tests/examples",
    "kubectl": "needs a cluster; tests/examples",
    "sbatch": "needs Slurm; tests/examples",
    "pip": "needs the network",
}
OWN_TESTS = frozenset({Path("docs/your-own-speech.md"), Path("docs/own-speech.md")})  # they need their files


@dataclass(frozen=True)
class Shown:
    """A command line as a document shows it, without its comment."""

    document: Path
    line: str

    @property
    def program(self) -> str:
        return self.line.split()[0].removeprefix(".venv/bin/")

    @property
    def why_not_run(self) -> str | None:
        line = self.line.removeprefix(".venv/bin/")
        return next((why for start, why in NOT_RUN.items() if f"{line} ".startswith(f"{start} ")), None)

    def __str__(self) -> str:
        return f"{self.document.name}: {self.line}"


def blocks_of(document: Path, languages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Language and text of the code blocks, also of indented ones."""
    text = (ROOT / document).read_text()
    for found in re.finditer(r"^( *)```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        if found[2] in languages:
            lines = [line.removeprefix(found[1]) for line in found[3].splitlines()]
            yield found[2], "\n".join(lines)


def lines_of(block: str) -> Iterator[str]:
    """The command lines of a block: continued lines joined, comments and the bodies of here-documents left out."""
    end = ""
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        if end:
            end = "" if line.strip() == end else end
            continue
        if here := re.search(r"<<-?\s*'?(\w+)'?", line):
            end = here[1]
        if text := re.sub(r"(^|\s+)#.*", "", line).strip().removeprefix("$ "):
            yield text


def shown_commands() -> list[Shown]:
    """All commands, each once per document, in their order."""
    found = [
        Shown(document, line)
        for document in DOCUMENTS
        for _, block in blocks_of(document, SHELLS)
        for line in lines_of(block)
        if Shown(document, line).program in PROGRAMS
    ]
    return list(dict.fromkeys(found))


def unknown_lines() -> list[str]:
    """Lines of shell blocks that begin with no known program: nobody would check them."""
    return [
        f"{document}: {line}"
        for document in DOCUMENTS
        for language, block in blocks_of(document, SHELLS)
        if language
        for line in lines_of(block)
        if Shown(document, line).program not in PROGRAMS | BUILT_IN and "=" not in line.split()[0]
    ]
