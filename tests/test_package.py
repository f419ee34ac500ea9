"""What `import wavlm` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import wavlm

HEAVY = ("torch", "webdataset", "mlflow", "prefect", "faiss", "numpy", "pyarrow")


@pytest.mark.parametrize("name", wavlm.__all__)
def test_every_name_is_there_when_it_is_used(name: str) -> None:
    assert getattr(wavlm, name).__name__ == name
    assert name in dir(wavlm)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'wavlm' has no attribute 'missing'"):
        wavlm.missing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import sys, wavlm; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
