"""Our heads with the weights of a reference, whose parameters have other names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tests.evaluation.reference import values
from tests.numerics import require_close

OUTPUTS = np.load(Path(__file__).parents[1] / "reference/s3prl.npz")
LENGTHS = torch.tensor(values.LENGTHS)

# Ours to theirs; the longest beginning that fits is taken.
LINEAR = {"projection.": "hidden_layers.0.", "output.": "final_proj."}
RECURRENT = {"projection.": "proj.", "output.": "linear."} | {
    ours.format(number): theirs.format(number)
    for number in range(2)
    for ours, theirs in (("recurrent.{}.", "rnns.{}.layer."), ("between.{}.", "rnns.{}.pj_layer."))
}
XVECTOR = {"projection.": "projector.", "embedding.": "affine.linear1.", "last.": "affine.linear2."} | {
    f"convs.{number}.": f"tdnns.module.{number}.kernel." for number in range(5)
}
DIARIZER = {"recurrent.": "rnn.", "output.": "linear."}
MASKS = {"recurrent.": "rnn.", "outputs.": "linear."}
CONVERTER = {"input.": "encoder.input_layer.", "recurrent.": "encoder.blstm.", "output.": "proj."} | {
    ours.format(number): theirs.format(number)
    for number in range(3)
    for ours, theirs in (
        ("convs.{}.conv.", "encoder.convs.{}.0."),
        ("convs.{}.norm.", "encoder.convs.{}.1."),
        ("prenet.{}.", "prenet.prenet.{}.0."),
        ("cells.{}.", "lstmps.{}.cell."),
        ("projections.{}.", "lstmps.{}.pj."),
    )
}


Head = TypeVar("Head", bound=nn.Module)


def require_reference(name: str, found: Tensor, num_operations: int) -> None:
    """Fail if the reference's output of this name differs by more than rounding."""
    require_close(found, torch.from_numpy(OUTPUTS[name]), num_operations, name=name)


def like_reference(head: Head, names: dict[str, str]) -> Head:
    """The head with the reference's weights, in eval mode."""
    state = {}
    for name, parameter in head.named_parameters():
        prefix = max((ours for ours in names if name.startswith(ours)), key=len)
        shape = tuple(parameter.shape)
        if parameter.dim() == 3 and ".kernel." in names[prefix]:  # a Linear over unfolded frames, channels last
            flat = values.weight(names[prefix] + name.removeprefix(prefix), (shape[0], shape[2] * shape[1]))
            state[name] = torch.from_numpy(flat).view(shape[0], shape[2], shape[1]).transpose(1, 2)
        else:
            state[name] = torch.from_numpy(values.weight(names[prefix] + name.removeprefix(prefix), shape))
    head.load_state_dict(state, strict=False)
    return head.eval()


def frames(width: int = values.WIDTH) -> Tensor:
    return torch.from_numpy(values.frames(width))


def losses(head: nn.Module, loss: Callable[[], Tensor], parameters: list[nn.Parameter] | None = None) -> Tensor:
    """The losses before each of three updates by Adam and after them, without dropout."""
    for part in head.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.LSTM):
            part.dropout = 0.0
    head.train()
    adam = torch.optim.Adam(parameters or list(head.parameters()), lr=values.LEARNING_RATE)
    found = []
    for _ in range(values.NUM_UPDATES):
        adam.zero_grad()
        current = loss()
        found.append(float(current.detach()))
        current.backward()
        adam.step()
    return torch.tensor([*found, float(loss().detach())])
