"""The step: what AdamW does to scaled and clipped gradients, or nothing at all, to the bit."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tests.numerics import require_close
from wavlm.engine.optimizer import clip_factor, start_copy, take_step, total_norm

pytestmark = pytest.mark.numeric

RATE = 0.01


def weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(7))]


def adamw(parameters: list[nn.Parameter]) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=1.0, weight_decay=0.1, fused=True)


def moments(optimizer: torch.optim.AdamW) -> list[Tensor]:
    states = optimizer.state_dict()["state"].values()
    return [value.clone() for state in states for value in state.values()]


def some_gradients(parameters: list[nn.Parameter], size: float = 1.0) -> None:
    torch.manual_seed(1)
    for parameter in parameters:
        parameter.grad = size * torch.randn_like(parameter)


def test_a_step_is_adamws_own_with_gradients_times_the_factor() -> None:
    ours, theirs = weights(), weights()
    optimizer = adamw(ours)
    # Not fused: another implementation, with the rate and the scaling done by hand.
    other = torch.optim.AdamW(theirs, lr=RATE, weight_decay=0.1, fused=False, foreach=False)
    for factor in (0.5, 3.0, 0.01):
        some_gradients(ours)
        some_gradients(theirs, factor)
        take_step(optimizer, RATE, torch.tensor(factor).double(), torch.tensor(True), keep=False)
        other.step()
        for one, two in zip(ours, theirs, strict=True):
            require_close(one, two, 3 * 20)  # steps of 20 operations


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_that_is_not_sound_changes_no_bit_of_weights_and_moments(bad: float) -> None:
    parameters = weights()
    optimizer = adamw(parameters)
    some_gradients(parameters)
    take_step(optimizer, RATE, torch.tensor(1.0), torch.tensor(True), keep=False)
    before = copy.deepcopy([*parameters, *moments(optimizer)])
    some_gradients(parameters, bad)
    take_step(optimizer, RATE, torch.tensor(bad), torch.tensor(False), keep=False)
    assert all(map(torch.equal, before, [*parameters, *moments(optimizer)]))


def test_a_sound_step_after_one_that_was_not_is_as_if_that_had_not_been() -> None:
    straight, detour = weights(), weights()
    for parameters, steps in ((straight, [True, True]), (detour, [True, False, True])):
        optimizer = adamw(parameters)
        for is_finite in steps:
            some_gradients(parameters, 1.0 if is_finite else math.nan)
            take_step(optimizer, RATE, torch.tensor(0.5), torch.tensor(is_finite), keep=False)
    assert all(map(torch.equal, straight, detour))


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_begins_with_no_momentum_also_after_a_first_step_that_was_not_sound(nesterov: bool) -> None:
    ours, theirs = weights(), weights()
    settings = {"lr": RATE, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    other = torch.optim.SGD(theirs, **settings, fused=False, foreach=False)
    torch.use_deterministic_algorithms(mode=True)  # memory that nobody wrote holds NaN then
    try:
        optimizer = torch.optim.SGD(ours, **settings, fused=True)
        for size in (math.inf, 1.0, 2.0):
            some_gradients(ours, size)
            take_step(optimizer, RATE, torch.tensor(1.0), torch.tensor(math.isfinite(size)), keep=False)
            if math.isfinite(size):
                some_gradients(theirs, size)
                other.step()
    finally:
        torch.use_deterministic_algorithms(mode=False)
    for one, two in zip(ours, theirs, strict=True):
        require_close(one, two, 2 * 10)  # steps of 10 operations


@pytest.mark.parametrize("keep", [True, False])
def test_gradients_are_forgotten_and_their_memory_kept_if_asked(keep: bool) -> None:
    parameters = weights()
    some_gradients(parameters)
    places = [parameter.grad.data_ptr() for parameter in parameters]
    take_step(adamw(parameters), RATE, torch.tensor(1.0), torch.tensor(True), keep=keep)
    if keep:
        assert [parameter.grad.data_ptr() for parameter in parameters] == places
        assert not any(parameter.grad.any() for parameter in parameters)
    else:
        assert all(parameter.grad is None for parameter in parameters)


def test_the_norm_is_that_of_all_gradients_as_one_vector() -> None:
    gradients = [torch.full((3,), 4.0), torch.full((1,), 2.0)]
    assert total_norm(gradients).item() == pytest.approx(math.sqrt(3 * 16 + 4))


@pytest.mark.parametrize(("norm", "clipped"), [(4.0, 1.0), (1.5, 1.0), (0.75, 0.75), (0.0, 0.0)])
def test_large_gradients_are_clipped_and_small_ones_are_not(norm: float, clipped: float) -> None:
    found = torch.tensor(norm).double()
    assert (clip_factor(found, 1.0) * found).item() == pytest.approx(clipped, rel=2e-6)


def test_a_norm_that_is_not_finite_stays_so() -> None:
    assert not (clip_factor(torch.tensor(math.nan), 1.0) * math.nan).isfinite()
    assert not (clip_factor(torch.tensor(math.inf), 1.0) * math.inf).isfinite()


def test_numbers_on_the_way_to_the_host_are_those_that_were_sent() -> None:
    assert start_copy(torch.tensor([1.5, -2.0]).double())() == [1.5, -2.0]
