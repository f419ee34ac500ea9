"""Check what a system goes on from: another system of the same recipe, or one from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wavlm.specs.base import FieldError
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.lookup import suggest
from wavlm.specs.models import ModelSpec


def check_going_on(
    spec: FinetuneSpec, number: int, before: Sequence[FinetuneSpec], models: Mapping[str, ModelSpec]
) -> None:
    """Raise FieldError unless the system that it goes on from is there, and is of its task and head.

    number: its place in the recipe. before: the systems that are trained before it.
    """
    trained = {item.name: item for item in before}
    others = [name for name, model in models.items() if model.part == "system"]
    if spec.system not in trained and spec.system not in others:
        known = [*trained, *others]
        hint = suggest(spec.system, known)
        raise FieldError(
            f"{spec.system} is neither a system before this one nor a model of the recipe that is `part: system`; "
            f"there is: {', '.join(known) or 'none'}{f': {hint}' if hint else ''}",
            *("finetune", number, "system"),
        )
    beneath = trained.get(spec.system)
    if beneath is None:
        return
    if beneath.task.type != spec.task.type:
        raise FieldError(
            f"the task of {spec.name} is {spec.task.type}, expected {beneath.task.type}, that of {beneath.name}",
            *("finetune", number, "task", "type"),
        )
    if beneath.head != spec.head:
        raise FieldError(
            f"the head of {spec.name} is not that of {beneath.name}: what is to differ goes into `head` of the stages",
            *("finetune", number, "head"),
        )
