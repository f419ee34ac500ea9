"""Training and reading results import no library that they do not need."""

import subprocess
import sys

import pytest

OF_OTHER_STAGES = ["httpx", "webdataset", "soxr", "webrtcvad", "av", "faiss", "matplotlib", "prefect", "mlflow"]
HEAVY = ["torch", "numpy", "pyarrow", "soundfile", *OF_OTHER_STAGES]


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("wavlm.loader.loader", OF_OTHER_STAGES),
        ("wavlm.shards.reader", ["torch", *OF_OTHER_STAGES]),
        ("wavlm.corpus.facts", HEAVY),
        ("wavlm.shards.facts", HEAVY),
        ("wavlm.export.facts", HEAVY),
    ],
)
def test_a_module_imports_no_library_that_it_does_not_need(module: str, forbidden: list[str]) -> None:
    script = f"import sys, {module}; print(sorted(set({forbidden}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
