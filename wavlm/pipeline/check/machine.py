"""What the machine has: GPUs, Python packages, a way to the registry. Nothing that is looked for is imported."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from wavlm.errors import CodedError, LockedError, ServiceMissingError, UsageError
from wavlm.mixing.effects import packages_of
from wavlm.pipeline.artifacts import Evaluation, Finetune, Model, Registration, SystemRegistration
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.registration import OWN_REGISTRY, configured_registry, show_registry
from wavlm.specs.tasks import WritesTexts

DRIVER_SECONDS = 10.0
REGISTRY_SECONDS = 1.0
# In a process of its own, because an open CUDA driver must not be forked. Counts what CUDA_VISIBLE_DEVICES shows.
_COUNT_DEVICES = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
majors = []
for number in range(0 if failed else count.value):
    device, major = ctypes.c_int(), ctypes.c_int()
    if not cuda.cuDeviceGet(ctypes.byref(device), number):
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # of the compute capability
        majors.append(major.value)
print(0 if failed else count.value, *majors)
"""
BF16_MAJOR = 8  # of the compute capability, from Ampere on
_PACKAGES: dict[str, tuple[str, ...]] = {
    "corpus": ("httpx", "soundfile", "pyarrow"),
    "shards": ("soxr", "av", "soundfile", "webdataset", "pyarrow"),
    "model": ("torch", "safetensors"),
    "codebook": ("faiss", "torch"),
    "labels": ("faiss", "torch", "webdataset"),
    "mixtures": ("soundfile", "matplotlib"),
    "simulation": ("soundfile", "webdataset", "pyarrow"),
    "pretrain": ("torch", "safetensors"),
    "scores": ("faiss", "torch"),
    "evaluation": ("torch", "safetensors"),
    "finetune": ("torch", "safetensors"),
    "export": ("torch", "safetensors"),
    "register": ("mlflow", "matplotlib"),
    "register_system": ("mlflow",),
}
_SCORERS: dict[str, tuple[str, ...]] = {  # of tasks, where they are no code of our own
    "pr": ("jiwer",),
    "asr": ("jiwer",),
    "ood_asr": ("jiwer",),
    "sf": ("jiwer",),
    "sd": ("pyannote.metrics",),
    "st": ("sacrebleu",),
    "se": ("pesq", "pystoi", "torchmetrics"),
    "ss": ("torchmetrics",),
}
# The extra `evaluation` has the others; what the demo needs builds from no source.
_OF_EVALUATION = frozenset({"flashlight", "jiwer", "pesq", "pystoi", "sacrebleu", "torchmetrics"})


def check_packages(wanted: Wanted) -> Iterator[Finding]:
    """The Python packages of the stages, and of the effects of their mixes, are installed."""
    mixes = [*(item.mix for item in wanted.of(Model)), *(item.spec.mix for item in wanted.of(Finetune))]
    effects = [effect for mix in mixes if mix for effect in mix.effects]
    of_stages = {name for item in wanted.artifacts for name in _PACKAGES.get(item.kind, ())}
    tasks = [*(item.spec.task for item in wanted.of(Evaluation)), *(item.spec.task for item in wanted.of(Finetune))]
    scorers = {name for task in tasks for name in _SCORERS.get(task.type, ())}
    scorers |= {"flashlight" for task in tasks if isinstance(task, WritesTexts) and task.decoder}
    names = sorted({*of_stages, *packages_of(effects), *scorers})
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        extras = sorted({"evaluation" if name in _OF_EVALUATION else "pipeline" for name in missing})
        yield ServiceMissingError(
            "PACKAGE_MISSING",
            f"{', '.join(missing)} cannot be imported; in {sys.prefix}; install them: "
            f"pip install 'wavlm-pipeline[{','.join(extras)}]'",
        )
    elif names:
        yield Remark(f"packages: {', '.join(names)} are installed")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it lies in is missing, too
        return False


def check_devices(wanted: Wanted) -> Iterator[Finding]:
    """The machine has the GPUs that are asked for, and a torch that can use them."""
    asked = wanted.runtime.gpus
    if not asked or not any(isinstance(item, Model | Finetune) for item in wanted.artifacts):
        return
    if (build := _torch_build()) == "None":
        yield ServiceMissingError(
            "DEVICE_MISSING",
            f"torch is a build without CUDA; in {sys.prefix}; install one with CUDA, or use --gpus 0: train on the CPU",
        )
        return
    found = _find_devices()
    count = None if found is None else len(found)
    if count is None:
        yield Remark(f"GPUs: {asked} asked for; the driver does not say how many there are", is_warning=True)
    elif count < asked:
        yield ServiceMissingError(
            "DEVICE_MISSING",
            f"{asked} GPUs are asked for, this machine has {count} that may be used; at --gpus; lower it "
            "(0: train on the CPU), or check the driver and CUDA_VISIBLE_DEVICES",
        )
    else:
        yield Remark(f"GPUs: {asked} asked for, {count} there, CUDA {build or 'of an unknown version'}")
    yield from _check_precision(wanted, found or ())


def _check_precision(wanted: Wanted, majors: Sequence[int]) -> Iterator[Finding]:
    """The GPUs compute in the precisions of the trainings."""
    numbers = [str(item.iteration) for item in wanted.of(Model) if item.train.precision == "bf16"]
    lowest = min(filter(None, majors[: wanted.runtime.gpus]), default=BF16_MAJOR)  # 0: not known
    if numbers and lowest < BF16_MAJOR:
        yield UsageError(
            "PRECISION_MISSING",
            f"iteration {', '.join(numbers)} trains in bf16, which GPUs have from compute capability 8.0 on, and one "
            f"here has {lowest}.x; in recipe {wanted.recipe.name}; give `precision: fp16`, or use other GPUs",
        )


def _torch_build() -> str | None:
    """The CUDA version that torch was built for, "None" for a CPU build; None if torch's files do not say."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("version.py")
    found = re.search(r"^cuda\b[^=]*= *'?([\w.]+)'?", path.read_text(), re.MULTILINE) if path.is_file() else None
    return found[1] if found else None


def _find_devices() -> list[int] | None:
    """The major compute capability of each CUDA device, as the driver says (0: it does not).

    None if the driver does not answer in time.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and text, no shell
            [sys.executable, "-I", "-c", _COUNT_DEVICES], capture_output=True, timeout=DRIVER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return []  # no driver: no device
    count, *majors = map(int, done.stdout.split())
    return [*majors, *[0] * (count - len(majors))]


def check_registry(wanted: Wanted) -> Iterator[Finding]:
    """The registry can be reached, and written. A problem only if the run requires it: training goes on without it."""
    if not any(isinstance(item, Registration | SystemRegistration) for item in wanted.artifacts):
        return
    problem = _find_registry_problem(wanted.store.root)
    if problem is None:
        place = show_registry(configured_registry(wanted.store.root), wanted.store.root)
        yield Remark(f"registry: {place} can be reached")
    elif wanted.runtime.require_registry:
        yield problem
    else:
        yield Remark(str(problem), is_warning=True)


def _find_registry_problem(root: Path) -> CodedError | None:
    place = configured_registry(root)
    if place == OWN_REGISTRY:
        return _find_read_only(root / OWN_REGISTRY)
    return _find_dead(place) if place.startswith(("http://", "https://")) else None


def _find_read_only(database: Path) -> CodedError | None:
    if not database.exists() or os.access(database, os.W_OK):
        return None
    return LockedError(
        "REGISTRY_READONLY",
        f"this user may not write the registry; at {database}; let its owner give the group the right to write: "
        f"chmod -R g+rwX {shlex.quote(str(database.parent))}",
    )


def _find_dead(address: str) -> CodedError | None:
    try:
        uri = urlsplit(address)
        port = uri.port or (443 if uri.scheme == "https" else 80)
        socket.create_connection((uri.hostname or "", port), REGISTRY_SECONDS).close()
    except (OSError, ValueError) as error:  # nobody answers, or it is no address
        return ServiceMissingError(
            "REGISTRY_DOWN", f"no MLflow server answers ({error}); at {address}; `wavlm sync RECIPE` uploads later"
        )
    return None
