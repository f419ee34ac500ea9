"""Specs of tasks that make something: what does not fit together is refused with its field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from wavlm.specs.evaluation import EvaluationSpec
from wavlm.specs.generation import NoiseMixSpec, VoiceMixSpec
from wavlm.specs.yaml import find_suite


def changed(name: str, **fields: object) -> EvaluationSpec:
    spec = find_suite(Path(name)).evaluations[0]
    return EvaluationSpec.model_validate({key: getattr(spec, key) for key in type(spec).model_fields} | fields)


def test_noise_and_a_task_that_mixes_it_need_each_other() -> None:
    spec = find_suite(Path("se-asterisk")).evaluations[0]
    with pytest.raises(ValidationError, match="so it needs some"):
        changed("se-asterisk", noise=())
    with pytest.raises(ValidationError, match="no noise is mixed in"):
        changed("ss-asterisk", noise=spec.noise)


def test_levels_from_high_to_low_are_refused() -> None:
    with pytest.raises(ValidationError, match="lowest 5 is above highest 0"):
        NoiseMixSpec(snr_db=(5.0, 0.0))
    with pytest.raises(ValidationError, match="lowest 1 is above highest 0"):
        VoiceMixSpec(ratio_db=(1.0, 0.0))


def test_published_settings_have_the_published_learning_rate_in_their_list() -> None:
    for name, rate in (("superb-se", 1e-4), ("superb-ss", 1e-4), ("superb-st", 2e-3), ("superb-vc-tef1", 1e-4)):
        (spec,) = find_suite(Path(name)).evaluations
        assert spec.fit is not None
        assert rate in spec.fit.learning_rates
