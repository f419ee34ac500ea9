"""Bytes kept for backward, counted against what is known to be kept."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.saved import count_saved_bytes, track_saved


def test_a_product_keeps_its_input_and_no_parameter() -> None:
    layer = nn.Linear(8, 16)
    x = torch.randn(5, 8, requires_grad=True)
    assert count_saved_bytes(lambda: layer(x), layer) == 5 * 8 * 4


def test_a_storage_that_is_kept_twice_or_as_a_view_counts_once() -> None:
    x = torch.randn(10, 4, requires_grad=True)
    assert count_saved_bytes(lambda: x * x + x.T.sum() + (x.view(40) * x.view(40)).sum()) == 10 * 4 * 4


def test_a_chain_keeps_what_each_link_needs() -> None:
    x = torch.randn(3, 7, requires_grad=True)
    with track_saved() as found:
        y = x.sigmoid().exp()  # the result of each
    assert found.num_bytes == 2 * 3 * 7 * 4
    assert dict(found.by_shape()) == {"float32 (3, 7)": 2 * 3 * 7 * 4}
    y.sum().backward()
    assert x.grad is not None  # what was counted still serves


def test_dropout_keeps_a_mask_of_a_byte_an_element() -> None:
    x = torch.randn(6, 50, requires_grad=True)
    with track_saved() as found:
        y = torch.nn.functional.dropout(x, 0.5)
    assert y.requires_grad
    assert found.num_bytes <= 6 * 50 * 4
