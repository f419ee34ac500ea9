"""What fine-tuning costs: forward passes where the network is frozen, backward passes where it is trained.

The head is not counted: it is small beside the network. Scores on the dev part are not either: how long the recordings
are is known only once they are there.
"""

from __future__ import annotations

from wavlm.pipeline.artifacts import Finetune, ImportedModel, Model
from wavlm.specs import NetworkSpec
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops
from wavlm.specs.stages import FinetuneStage

LENGTH_SECONDS = 10.0  # of a typical utterance that is not cut


def has_network(system: Finetune) -> bool:
    """Whether there is a network, known or not."""
    return isinstance(system.stands_on, Model | ImportedModel | RandomBaseline)


def seconds_of(system: Finetune) -> float:
    """The audio that is trained on, padding included."""
    return sum(stage.updates * stage.batch_seconds for stage in system.spec.stages)


def flops_of(system: Finetune, network: NetworkSpec) -> float:
    """The operations of all stages."""
    return sum(_flops_of_stage(stage, network) for stage in system.spec.stages)


def _flops_of_stage(stage: FinetuneStage, network: NetworkSpec) -> float:
    trained = 0 if stage.frozen == "all" else stage.updates - stage.frozen_updates
    passes = stage.updates - trained + BACKWARD_FACTOR * trained
    length = min(stage.crop_seconds or LENGTH_SECONDS, stage.group_seconds)
    return passes * stage.batch_seconds * forward_flops(network, length)
