"""torch.compile of the network in regions, and activation checkpointing of its layers.

A region is one method of the network: feature encoder and masking; positional convolution and norm; one layer;
final norm and prediction head. Each is compiled as one graph (`fullgraph`) with static shapes.
Why the network is not one graph:

- Layer drop: 12 layers have 4096 subsets. One graph would be compiled for each subset that is drawn, or would
  compute the dropped layers. Between regions, Python decides which layers run.
- Compile time: all layers share one function, which is compiled once. The layer is its argument, so the
  weights are inputs of the graph.
- FSDP2 gathers weights layer by layer, DDP sends gradients layer by layer, and activation checkpointing
  recomputes layer by layer. Only methods are replaced: a layer is still called as a module with all its hooks,
  and parameters keep their names.

The cost is one tensor (B, F, D) in memory between two regions, which a residual network writes anyway, and a few
microseconds of guards.

Only training is compiled. Validation would add graphs without dropout for shapes of its own.
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

MAX_SHAPES = 64  # per region. Each takes minutes to compile; more would cost more time than they save
GRAPHS_PER_SHAPE = 4  # at most: with and without autocast, and with another dtype


class Region:
    """One method of modules of the same class, compiled for each shape of its inputs."""

    def __init__(self, name: str, plain: Callable[..., Any], backend: str) -> None:
        self._name, self._plain = name, plain
        self._compiled = torch.compile(plain, fullgraph=True, dynamic=False, backend=backend)
        self._shapes: set[tuple[object, ...]] = set()
        self._is_full = False

    def __call__(self, module: nn.Module, *inputs: Any) -> Any:
        """Call the method. After `MAX_SHAPES` shapes, new ones run uncompiled, with one warning."""
        run = self._compiled if module.training and self._may_compile(inputs) else self._plain
        return run(module, *inputs)

    def _may_compile(self, inputs: tuple[Any, ...]) -> bool:
        shapes = tuple(x.shape if isinstance(x, Tensor) else x for x in inputs)
        if shapes in self._shapes:
            return True
        if len(self._shapes) < MAX_SHAPES:
            self._shapes.add(shapes)
            return True
        if not self._is_full:
            self._is_full = True
            log.warning(
                "%s got more than %d shapes and is not compiled for further ones: set "
                "crop_frames_multiple in the recipe (this makes another model), or do not compile",
                self._name,
                MAX_SHAPES,
            )
        return False


def compile_regions(network: WavLM, backend: str = "inductor") -> None:
    """Replace the network's methods by regions, in place. Each compiles at the first batch of a shape."""
    graphs = GRAPHS_PER_SHAPE * MAX_SHAPES
    torch._dynamo.config.recompile_limit = graphs  # noqa: SLF001 - documented under this name
    torch._dynamo.config.accumulated_recompile_limit = graphs  # noqa: SLF001
    # Otherwise each graph inside DDP would be cut where a gradient bucket ends. Regions are small enough:
    # gradients are sent while the backward of the next region runs.
    torch._dynamo.config.optimize_ddp = False  # noqa: SLF001
    for modules, name in _methods(network):
        kind = type(modules[0])
        region = Region(f"{kind.__name__}.{name}", getattr(kind, name), backend)
        for module in modules:
            setattr(module, name, partial(region, module))


def recompute_layers(network: WavLM) -> None:
    """Activation checkpointing: a layer keeps only its input for backward. In place, after `compile_regions` if both.

    Compiled or not, the layer then runs twice, both times with the same random numbers.
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
