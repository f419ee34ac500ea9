"""Write speechbrain.npz: SpeechBrain's ECAPA-TDNN and AAM-softmax with the weights and inputs of values.py.

It runs in an environment of its own, with torch, numpy, speechbrain==1.1.2 and torchaudio without its compiled
libraries (the published wheel needs a torch of its own):

    PYTHONPATH=. python -m tests.evaluation.reference.make_speechbrain

WavLM's authors changed the network in five places, which are changed here in SpeechBrain's, too: an instance norm comes
first, convolutions pad with zeros, attention sees no global context and has neither ReLU nor norm, and the layer before
pooling has no norm. SpeechBrain leaves the first group of a Res2 layer as it is, the authors the last one: channels are
renumbered. Only outputs are kept. `NAME-full` is of the published widths; utterances are computed one at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper
from torch import Tensor, nn

from tests.evaluation.reference import values

OUT = Path(__file__).with_name("speechbrain.npz")


def main() -> None:
    """Compute and write."""
    results: dict[str, np.ndarray] = {}
    for suffix, width, widths in (("", values.WIDTH, values.ECAPA), ("-full", values.FULL_WIDTH, values.ECAPA_FULL)):
        network = make_network(width, widths)
        frames = torch.from_numpy(values.frames(width))
        with torch.no_grad():
            alone = [network(normed(row[None, :length])) for row, length in zip(frames, values.LENGTHS, strict=True)]
        results[f"ecapa{suffix}"] = torch.cat(alone)[:, 0].numpy()
    results["ecapa-losses"] = train(make_network(values.WIDTH, values.ECAPA)).numpy()
    np.savez_compressed(OUT, **results)
    sys.stdout.write(f"{OUT.name}: {len(results)} arrays, {OUT.stat().st_size} bytes\n")


def normed(frames: Tensor) -> Tensor:
    """The authors' instance norm, over the frames of an utterance: (B, F, D)."""
    return nn.InstanceNorm1d(frames.shape[2])(frames.transpose(1, 2)).transpose(1, 2)


def make_network(width: int, widths: dict[str, int]) -> nn.Module:
    """SpeechBrain's network with the authors' changes, and with the weights of values.py under our names."""
    channels = [widths["channels"]] * 4 + [widths["pooled"]]
    network = ECAPA_TDNN(
        width,
        lin_neurons=widths["embedding"],
        channels=channels,
        attention_channels=widths["attention"],
        res2net_scale=widths["groups"],
        se_channels=widths["squeeze"],
        global_context=False,
    )
    for module in network.modules():
        if hasattr(module, "padding_mode") and isinstance(module.padding_mode, str) and hasattr(module, "conv"):
            module.padding_mode = "constant"
    network.mfa.norm = nn.Identity()
    network.asp.tdnn.activation = nn.Identity()
    network.asp.tdnn.norm = nn.Identity()
    state = {
        name: weight_of(name, tuple(tensor.shape), widths["groups"]) if tensor.dim() else tensor
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval()


def weight_of(name: str, shape: tuple[int, ...], groups: int) -> Tensor:
    """A tensor of SpeechBrain's, made under our name and renumbered."""
    ours = our_name(name)
    flat = shape[:2] if ".se_block." in name or name.startswith("fc.") else shape
    found = torch.from_numpy(values.tensor(ours, flat)).reshape(shape)
    if ".tdnn1." in name and name.startswith("blocks."):
        return renumber(found, 0, groups)
    if ".tdnn2.conv" in name and found.dim() == 3:
        return renumber(found, 1, groups)
    return found


def renumber(tensor: Tensor, dim: int, groups: int) -> Tensor:
    """The last group of channels first."""
    *first, last = tensor.chunk(groups, dim=dim)
    return torch.cat([last, *first], dim=dim)


# Theirs to ours, where a convolution and its norm have one name there.
NAMES = {
    "mfa.": "join.",
    "asp_bn.": "norm.",
    "fc.": "embedding.",
    "asp.tdnn.": "attention.0.",
    "asp.conv.": "attention.2.",
}
PARTS = {"tdnn1": "before.", "tdnn2": "after.", "se_block.conv1": "squeeze.", "se_block.conv2": "excite."}


def our_name(name: str) -> str:
    """Ours of theirs."""
    leaf = name.rpartition(".")[2]
    for theirs, ours in NAMES.items():
        if name.startswith(theirs):
            return ours + leaf
    kind = "norm." if ".norm." in name else "conv."
    _, number, rest = name.split(".", 2)
    if number == "0":
        return f"first.{kind}{leaf}"
    block = f"blocks.{int(number) - 1}."
    for theirs, ours in PARTS.items():
        if rest.startswith(theirs):
            return block + ours + (leaf if "se_block" in theirs else kind + leaf)
    return f"{block}groups.{rest.split('.')[2]}.{kind}{leaf}"


def train(network: nn.Module) -> Tensor:
    """The losses before each of three updates by Adam and after them, on two utterances of the same length."""
    frames = torch.from_numpy(values.frames(values.WIDTH))
    speakers = torch.nn.Parameter(torch.from_numpy(values.tensor("margins.speakers", (values.NUM_CLASSES, 7))))
    loss = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=32.0))
    classes = torch.tensor([[1], [3]])

    def current() -> Tensor:
        vectors = nn.functional.normalize(network(normed(frames))[:, 0])
        cosines = vectors @ nn.functional.normalize(speakers).T
        return loss(cosines[:, None], classes)

    network.train()
    adam = torch.optim.Adam([*network.parameters(), speakers], lr=values.LEARNING_RATE)
    found = []
    for _ in range(values.NUM_UPDATES):
        adam.zero_grad()
        value = current()
        found.append(float(value.detach()))
        value.backward()
        adam.step()
    return torch.tensor([*found, float(current().detach())])


if __name__ == "__main__":
    main()
