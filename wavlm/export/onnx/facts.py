"""What an ONNX export reports: `onnx.json` in its folder. Needs no torch."""

from __future__ import annotations

from wavlm.storage.facts import Facts

ABOUT = "onnx.json"
FLOAT_FILE, INT8_FILE, CARD_FILE = "model.onnx", "model.int8.onnx", "README.md"
OPSET = 18  # of ONNX 1.13; onnxruntime reads it from version 1.14 on
LAST, FRAMES = "last_hidden_state", "num_frames"


class LayerDrift(Facts):
    """How the frames of one output lie beside those of torch, over all frames that were compared."""

    output: str
    largest_difference: float  # of any number of any frame
    relative_difference: float  # norm of all differences by the norm of torch's frames
    labels_kept: float  # share of frames with the same nearest centroid, of k-means on torch's frames


class Drift(Facts):
    """The drift of one file of a folder."""

    file: str
    outputs: tuple[LayerDrift, ...]


class Heard(Facts):
    """The speech that drift was measured on."""

    folder: str  # its name
    files: int
    frames: int
    clusters: int  # of the k-means whose labels are compared


class OnnxFacts(Facts):
    """The result of an ONNX export."""

    opset: int
    outputs: tuple[str, ...]
    parameters: int
    megabytes: dict[str, float]  # by the name of the file, with the data beside it
    sha256: dict[str, str]
    heard: Heard | None = None  # None: nothing was compared
    drift: tuple[Drift, ...] = ()


def output_of(layer: int) -> str:
    """The name of the output that holds a layer's frames; 0 is the encoder's input."""
    return f"hidden_state_{layer}"
