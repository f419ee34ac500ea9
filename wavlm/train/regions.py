"""torch.compile of the network in regions, and recomputation of its layers, from the outside.

A region is a method: the front to the masked input of the encoder, positional convolution and norm,
a layer, final norm and head. Each is one graph (`fullgraph`) of static shapes. Why not one graph:

- Layer drop: of 12 layers there are 4096 subsets. One graph would be compiled for each subset that
  is drawn, or would compute what is dropped. Between regions it stays a decision of Python.
- Compile time: the layers are one function, compiled once and used by all of them. It is called
  with the layer as an argument, so that weights are inputs of the graph and no layer is special.
- FSDP2 gathers and DDP sends gradients layer by layer, and activation checkpointing recomputes by
  layer. Only methods are replaced, so a layer is still called as a module, with all its hooks, and
  no parameter gets another name.

What that costs is one tensor (B, F, D) in memory at each border, which is what a residual stream
writes anyway, and a few microseconds of guards.

Only training is compiled: validation would add graphs without dropout for shapes of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wavlm.nn import WavLM

log = logging.getLogger(__name__)

MAX_SHAPES = 64  # of a region: minutes each. From there on compiling costs more than it saves
GRAPHS_A_SHAPE = 4  # at most: autocast on and off, with another dtype


class Region:
    """One method of equal modules, compiled for each shape of its inputs that training brings."""

    def __init__(self, name: str, plain: Callable[..., Any], backend: str) -> None:
        self._name, self._plain = name, plain
        self._compiled = torch.compile(plain, fullgraph=True, dynamic=False, backend=backend)
        self._shapes: set[tuple[object, ...]] = set()
        self._is_full = False

    def __call__(self, module: nn.Module, *inputs: Any) -> Any:
        """What the method computes; past `MAX_SHAPES` shapes, uncompiled and with one warning."""
        run = self._compiled if module.training and self._has_room(inputs) else self._plain
        return run(module, *inputs)

    def _has_room(self, inputs: tuple[Any, ...]) -> bool:
        shapes = tuple(x.shape if isinstance(x, Tensor) else x for x in inputs)
        if shapes in self._shapes:
            return True
        if len(self._shapes) < MAX_SHAPES:
            self._shapes.add(shapes)
            return True
        if not self._is_full:
            self._is_full = True
            log.warning(
                "%s has met more than %d shapes and is not compiled for further ones: set "
                "crop_frames_multiple in the recipe (another model then), or do not compile",
                self._name,
                MAX_SHAPES,
            )
        return False


def compile_regions(network: WavLM, backend: str = "inductor") -> None:
    """Compile a network in place, at the first batch of each shape."""
    graphs = GRAPHS_A_SHAPE * MAX_SHAPES
    torch._dynamo.config.recompile_limit = graphs  # noqa: SLF001 - documented, under this name
    torch._dynamo.config.accumulated_recompile_limit = graphs  # noqa: SLF001
    # Inside DDP each graph would be cut at the borders of gradient buckets; regions are small
    # enough for gradients to leave while the next region's backward runs.
    torch._dynamo.config.optimize_ddp = False  # noqa: SLF001
    for modules, name in _methods(network):
        kind = type(modules[0])
        region = Region(f"{kind.__name__}.{name}", getattr(kind, name), backend)
        for module in modules:
            setattr(module, name, partial(region, module))


def recompute_layers(network: WavLM) -> None:
    """Have a layer keep its input alone for backward, in place; after `compile_regions`, if both.

    Compiled or not, the layer then runs twice, with the same random numbers.
    """
    name = "transform"
    for layer in network.encoder.layers:
        setattr(layer, name, partial(checkpoint, getattr(layer, name), use_reentrant=False))


def _methods(network: WavLM) -> Iterator[tuple[list[nn.Module], str]]:
    yield [network], "embed_masked"
    yield [network.encoder], "add_positions"
    yield list(network.encoder.layers), "transform"
    yield [network], "predict_masked"
    yield [network], "predict_all"
