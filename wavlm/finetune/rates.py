"""Learning rates of a stage of fine-tuning: over its updates, and from layer to layer."""

from __future__ import annotations

import math
import re

from wavlm.specs.schedules import ExponentialRate, LinearRate, NoamRate, ScheduleSpec, TriStageRate
from wavlm.specs.stages import FinetuneStage

_LAYER = re.compile(r"network\.encoder\.layers\.(\d+)\.")
FINAL_NORM = "network.encoder.norm."  # in the pre-norm style the norm behind the last layer


def rate_at(done: int, stage: FinetuneStage) -> float:
    """The learning rate of the head in the update that follows `done` finished ones of the stage."""
    return stage.peak_lr * scale_at(done, stage.updates, stage.schedule)


def scale_at(done: int, updates: int, schedule: ScheduleSpec) -> float:
    """The learning rate over its peak, in the update that follows `done` finished ones of so many."""
    if isinstance(schedule, TriStageRate):
        return _tri_stage(done, updates, schedule)
    if isinstance(schedule, NoamRate):
        number = done + 1  # the first update is number 1
        return min(number / schedule.warmup_updates, math.sqrt(schedule.warmup_updates / number))
    rise = min(1.0, (done + 1) / schedule.warmup_updates) if schedule.warmup_updates else 1.0
    if isinstance(schedule, LinearRate):
        return min(rise, (updates - done) / max(1, updates - schedule.warmup_updates))
    fall: float = schedule.final_scale ** (done / updates) if isinstance(schedule, ExponentialRate) else 1.0
    return rise * fall


def _tri_stage(done: int, updates: int, schedule: TriStageRate) -> float:
    """As fairseq's TriStageLRScheduler: steps of the stages are whole numbers, rounded down."""
    rise, hold = int(schedule.warmup * updates), int(schedule.hold * updates)
    fall = updates - rise - hold
    if done < rise:
        return schedule.initial_scale + (1 - schedule.initial_scale) * done / rise
    if done < rise + hold:
        return 1.0
    return math.exp(math.log(schedule.final_scale) * (done - rise - hold) / max(1, fall))


def rate_factor(name: str, num_layers: int, stage: FinetuneStage, *, norm_first: bool) -> float:
    """The learning rate of a parameter over that of the head, by its name in the system."""
    if not name.startswith("network."):
        return 1.0
    found = _LAYER.match(name)
    if found:
        below_top = num_layers - 1 - int(found[1])
    else:
        below_top = 0 if norm_first and name.startswith(FINAL_NORM) else max(0, num_layers - 1)
    factor: float = stage.network_lr * stage.layer_decay**below_top
    return factor


def is_frozen(name: str, stage: FinetuneStage, *, norm_first: bool) -> bool:
    """Whether a parameter of the system stays as it is in all of a stage."""
    if not name.startswith("network."):
        return False
    is_unused = name.startswith("network.head.") or (name == "network.mask_embedding" and stage.time_mask is None)
    if is_unused or isinstance(stage.frozen, str):
        is_cnn = name.startswith("network.extractor.")
        return is_unused or stage.frozen == "all" or (stage.frozen == "cnn" and is_cnn)
    if found := _LAYER.match(name):
        return int(found[1]) < stage.frozen
    return not (norm_first and name.startswith(FINAL_NORM))
