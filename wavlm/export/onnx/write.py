"""Write a network as ONNX files: fp32, and int8 for the products with weights."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from wavlm.errors import UsageError
from wavlm.export.onnx.facts import FLOAT_FILE, FRAMES, INT8_FILE, LAST, OPSET, output_of
from wavlm.export.onnx.packages import load_package
from wavlm.export.onnx.plain import PlainNetwork
from wavlm.nn import WavLM
from wavlm.specs.frames import receptive_field

INPUTS = ("waveforms", "num_samples")
EXAMPLE_FRAMES = 40
LARGEST_FILE = 1_900_000_000  # bytes of weights; a protobuf of 2 GiB and more cannot be read
INT8_PRODUCTS = ["MatMul", "Gemm"]  # convolutions in int8 are slower than in fp32 (docs/log.md, 2026-11-30)
WEIGHTS_SUFFIX = ".data"


def outputs_of(layers: Sequence[int]) -> tuple[str, ...]:
    """The names of all outputs of a graph that gives these states."""
    return (*(output_of(layer) for layer in layers), LAST, FRAMES)


def check_layers(model: WavLM, layers: Sequence[int]) -> tuple[int, ...]:
    """The states in order, each once. Raises UsageError (LAYER_MISSING)."""
    deepest = model.network.num_layers
    for layer in layers:
        if not 0 <= layer <= deepest:
            raise UsageError(
                "LAYER_MISSING", f"found layer {layer}, expected 0 to {deepest}; at --layer; the model has no other"
            )
    return tuple(sorted(set(layers)))


def write_onnx(model: WavLM, folder: Path, layers: Sequence[int]) -> Path:
    """Write `model.onnx`, with its weights in a second file where one of 2 GiB could not be read.

    Batch and length are free. Raises ServiceMissingError (PACKAGE_MISSING).
    """
    for package in ("onnx", "onnxscript"):
        load_package(package)
    plain = PlainNetwork(model, check_layers(model, layers)).eval()
    # Two rows of different lengths: an example of one row would fix the batch to 1.
    length = receptive_field(model.network.conv_layers) * EXAMPLE_FRAMES
    example = torch.zeros(2, length), torch.tensor([length, length // 2])
    with _without_notices(), torch.no_grad():
        program = torch.onnx.export(
            plain,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=outputs_of(plain.layers),
            dynamic_shapes=({0: "batch", 1: "samples"}, {0: "batch"}),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    size = sum(parameter.numel() * parameter.element_size() for parameter in plain.parameters())
    with _into(folder / FLOAT_FILE) as temporary:
        program.save(temporary, external_data=size > LARGEST_FILE)
    return folder / FLOAT_FILE


def write_int8(folder: Path) -> Path:
    """Write `model.int8.onnx` beside `model.onnx`: weights of products in int8, their frames quantised as they come."""
    quantization = load_package("onnxruntime.quantization")
    has_data = (folder / f"{FLOAT_FILE}{WEIGHTS_SUFFIX}").exists()
    with _without_notices(), _into(folder / INT8_FILE) as temporary:
        quantization.quantize_dynamic(
            folder / FLOAT_FILE,
            temporary,
            op_types_to_quantize=INT8_PRODUCTS,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=has_data,
            extra_options={"MatMulConstBOnly": True},
        )
    return folder / INT8_FILE


@contextmanager
def _into(path: Path) -> Iterator[Path]:
    """A place for a file and the data beside it, which take their names together with the file last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as temporary:
        yield Path(temporary) / path.name
        for file in sorted(Path(temporary).iterdir(), key=lambda file: file.name == path.name):
            shutil.move(file, path.parent / file.name)


@contextmanager
def _without_notices() -> Iterator[None]:
    """Leave out what the exporter says about itself: of packages for pictures, of its own old calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "root")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Both inputs share the axis `batch`, which gets its name from the first.
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
