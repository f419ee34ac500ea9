"""The README of an ONNX folder: how to call the graph, and how far its frames lie from those of torch."""

from __future__ import annotations

from wavlm.export.onnx.facts import FLOAT_FILE, INT8_FILE, LAST, OnnxFacts
from wavlm.specs import NetworkSpec
from wavlm.specs.frames import receptive_field

USE = """# {name} as ONNX

{layers} layers, width {width}, opset {opset}. Needs onnxruntime alone.

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
waveforms = np.zeros((2, 32000), np.float32)  # speech at {rate} Hz in [-1, 1], padded at the end with anything
num_samples = np.array([32000, 20000])  # of each row, before its padding; at least {shortest}
states = session.run(None, {{"waveforms": waveforms, "num_samples": num_samples}})
```

| output | what it is |
| --- | --- |
{outputs}

- Batch and length are free. Rows of different lengths give the frames that each gives alone; frames from `num_frames`
  on are undefined.
- Waveforms are normalised inside the graph{normalised}. Do not normalise them before.
- Memory grows with the square of the length: cut recordings of minutes.
- Nothing in the graph is random: there is no dropout, and no layer is dropped."""
INT8 = """- `{file}` has the weights of products (MatMul, Gemm) in int8; convolutions stay in fp32. Frames get one scale
  per product and batch, so they depend a little on the other rows and on padding."""


def onnx_card(name: str, network: NetworkSpec, facts: OnnxFacts, rate_hz: int) -> str:
    """The card as Markdown."""
    text = USE.format(
        name=name,
        layers=network.num_layers,
        width=network.width,
        opset=facts.opset,
        file=FLOAT_FILE,
        rate=rate_hz,
        shortest=receptive_field(network.conv_layers),
        outputs="\n".join(f"| `{output}` | {_meaning(output)} |" for output in facts.outputs),
        normalised="" if network.normalize_waveform else " where the network wants it, which this one does not",
    )
    if INT8_FILE in facts.megabytes:
        text += "\n" + INT8.format(file=INT8_FILE)
    sizes = "\n".join(f"| `{file}` | {size:.1f} |" for file, size in facts.megabytes.items())
    return f"{text}\n\n| file | MB |\n| --- | --- |\n{sizes}\n\n## Drift\n\n{_drift(facts)}\n"


def _meaning(output: str) -> str:
    if output == LAST:
        return "(batch, frames, width): the last layer, after the final norm if the network has one"
    if output.startswith("hidden_state_"):
        layer = output.removeprefix("hidden_state_")
        what = "the input of the first layer" if layer == "0" else f"layer {layer}, before any final norm"
        return f"(batch, frames, width): {what}"
    return "(batch,): frames of each row that are defined"


def _drift(facts: OnnxFacts) -> str:
    heard = facts.heard
    if heard is None:
        return "Not measured: `wavlm export --format onnx --speech FOLDER` compares with torch on the speech there."
    parts = [
        f"Against torch in fp32, on {heard.frames} frames of {heard.files} files of `{heard.folder}`. Labels are those "
        f"of k-means with {heard.clusters} clusters, fitted to torch's frames of each output."
    ]
    for drift in facts.drift:
        rows = "\n".join(
            f"| `{it.output}` | {it.largest_difference:.2g} | {100 * it.relative_difference:.2g} % | "
            f"{100 * it.labels_kept:.2f} % |"
            for it in drift.outputs
        )
        parts.append(
            f"| `{drift.file}` | largest difference | relative difference | labels kept |\n"
            f"| --- | --- | --- | --- |\n{rows}"
        )
    return "\n\n".join(parts)
