"""From the spec of an end-to-end diarizer to the head."""

from __future__ import annotations

from torch import nn

from wavlm.evaluation.heads.eend.chain import ChainDiarizer
from wavlm.evaluation.heads.eend.eda import EdaDiarizer
from wavlm.evaluation.heads.eend.global_local import GlobalLocalDiarizer
from wavlm.evaluation.heads.eend.vector import VectorDiarizer
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.specs.eend import ChainHead, EdaHead, EendHead, VectorHead


def make_eend(size: FeatureSize, spec: EendHead, num_speakers: int) -> nn.Module:
    """A head with fresh weights from torch's default generator; num_speakers: of the training part."""
    match spec:
        case EdaHead():
            return EdaDiarizer(size, spec)
        case ChainHead():
            return ChainDiarizer(size, spec)
        case VectorHead():
            return VectorDiarizer(size, spec, num_speakers)
        case _:
            return GlobalLocalDiarizer(size, spec)
