"""What can be known before any data work: everything that would stop a run of this recipe on this machine.

A check is a function of what is wanted. It yields problems, each an error as a stage would raise it, and remarks. A new
one is one more line of CHECKS. No check imports torch, reads audio or takes longer than a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from wavlm.errors import EXIT_USAGE, CodedError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.check.generations import check_generations
from wavlm.pipeline.check.imports import check_labels_of_others, check_models, check_teachers
from wavlm.pipeline.check.machine import check_devices, check_packages, check_registry
from wavlm.pipeline.check.models import (
    check_crops,
    check_frames,
    check_mixing,
    check_ranks,
    check_sample,
    check_stretches,
    check_system_frames,
)
from wavlm.pipeline.check.sampling import check_sampling
from wavlm.pipeline.check.sources import (
    check_digests,
    check_folders,
    check_language_models,
    check_programs,
    check_sources,
    check_synthesisers,
)
from wavlm.pipeline.check.starts import check_starts
from wavlm.pipeline.check.storage import check_room, check_store
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

__all__ = ["NotReadyError", "Remark", "find", "refuse"]

CHECKS: tuple[Callable[[Wanted], Iterator[Finding]], ...] = (
    check_store,
    check_sources,
    check_digests,
    check_folders,
    check_language_models,
    check_generations,
    check_programs,
    check_synthesisers,
    check_packages,
    check_models,
    check_teachers,
    check_labels_of_others,
    check_starts,
    check_frames,
    check_sample,
    check_crops,
    check_system_frames,
    check_stretches,
    check_sampling,
    check_mixing,
    check_ranks,
    check_devices,
    check_room,
    check_registry,
)


class NotReadyError(CodedError):
    """A run cannot end well. Its message lists all problems, each in a line of its own."""

    def __init__(self, problems: Sequence[CodedError]) -> None:
        first, *others = problems
        super().__init__(first.code, "\n".join([first.message, *map(str, others)]))
        codes = {problem.exit_code for problem in problems}
        self.exit_code = codes.pop() if len(codes) == 1 else EXIT_USAGE


def find(recipe: Recipe, artifacts: Sequence[Artifact], store: Store, runtime: Runtime) -> Iterator[Finding]:
    """All problems and remarks about making these artifacts of a recipe."""
    wanted = Wanted(recipe, tuple(artifacts), store, runtime)
    for check in CHECKS:
        try:
            yield from check(wanted)
        except CodedError as error:  # such as a record that cannot be read
            yield error


def refuse(findings: Iterable[Finding]) -> list[Remark]:
    """Raise NotReadyError, which lists all problems, if there are any. Returns the remarks."""
    found = list(findings)
    if problems := [item for item in found if isinstance(item, CodedError)]:
        raise NotReadyError(problems)
    return [item for item in found if isinstance(item, Remark)]
