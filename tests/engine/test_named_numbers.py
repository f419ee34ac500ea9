"""Numbers in one vector are found, added and read by name, never by position."""

import pytest
import torch

from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)


def test_numbers_come_back_under_their_names() -> None:
    packed = NamedNumbers.pack({"loss": torch.tensor(1.5), "frames": 3.0}, CPU)
    assert packed.vector.dtype == torch.float64
    assert packed["frames"].item() == 3.0
    assert packed.joined_with(NamedNumbers.zeros(["stop"], CPU)).start_read()() == {
        "loss": 1.5,
        "frames": 3.0,
        "stop": 0.0,
    }


def test_sums_are_taken_name_by_name() -> None:
    terms = [NamedNumbers.pack({"loss": float(number), "frames": 1.0}, CPU) for number in (1, 2, 4)]
    total = NamedNumbers.sum(terms)
    assert total.over_ranks(ALONE).start_read()() == {"loss": 7.0, "frames": 3.0}
    total.add(terms[0])
    assert total["loss"].item() == 8.0


def test_numbers_of_other_names_are_not_added() -> None:
    one, other = (NamedNumbers.zeros(names, CPU) for names in (("loss", "frames"), ("frames", "loss")))
    with pytest.raises(ValueError, match="cannot add frames, loss to loss, frames"):
        one.add(other)
    with pytest.raises(ValueError, match="values to unpack"):
        NamedNumbers.sum([one, other])
