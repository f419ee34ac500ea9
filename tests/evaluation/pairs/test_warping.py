"""Subsequence time warping: the costs of dtw-python, and of all paths tried one by one; padding changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.evaluation.reference.make_dtw import OUT, SIZES, frames
from wavlm.evaluation.tasks.warping import Distance, best_path_costs, match_costs


def _unit(number: int, count: int) -> torch.Tensor:
    return normalize(torch.from_numpy(frames(number, count)), dim=1)


@pytest.mark.parametrize("distance", ["cosine_exp", "cosine"])
def test_costs_are_those_of_dtw_python(distance: Distance) -> None:
    with np.load(Path(OUT)) as saved:
        expected = saved[distance]
    for number, ((num_query, num_document), cost) in enumerate(zip(SIZES, expected, strict=True)):
        document = _unit(2 * number + 1, num_document)[None]
        found = match_costs(_unit(2 * number, num_query), document, torch.tensor([num_document]), distance)
        assert found.item() == pytest.approx(cost, abs=1e-12)


def test_a_document_costs_the_same_beside_a_longer_one() -> None:
    query, short, long = _unit(0, 7), _unit(1, 11), _unit(2, 25)
    padded = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True)
    together = match_costs(query, padded, torch.tensor([11, 25]), "cosine_exp")
    for row, document in enumerate((short, long)):
        alone = match_costs(query, document[None], torch.tensor([len(document)]), "cosine_exp")
        assert together[row].item() == pytest.approx(alone.item(), abs=1e-12)


def test_the_best_path_is_the_least_of_all_paths() -> None:
    distances = torch.from_numpy(np.random.default_rng(0).random((4, 1, 6)))
    found = best_path_costs(distances)[0].item()

    def costs(row: int, column: int) -> list[float]:
        """The sums of all paths that end here."""
        here = distances[row, 0, column].item()
        if row == 0:
            return [here]
        return [here + one for step in (0, 1, 2) if column >= step for one in costs(row - 1, column - step)]

    assert found == pytest.approx(min(one for column in range(6) for one in costs(3, column)) / 4, abs=1e-12)


def test_a_query_that_is_a_part_of_a_document_costs_least() -> None:
    document = _unit(3, 40)
    others = torch.stack([document, _unit(4, 40), _unit(5, 40)])
    found = match_costs(document[10:22], others, torch.tensor([40, 40, 40]), "cosine_exp")
    assert found[0].item() == pytest.approx(0, abs=1e-12)
    assert found[1:].min().item() > 0.005
