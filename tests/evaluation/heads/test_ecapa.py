"""ECAPA-TDNN and its loss: SpeechBrain's with the same weights, padding, and the margins by closed forms."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.heads.reference import frames, losses
from tests.evaluation.reference import values
from tests.numerics import require_close
from wavlm.evaluation.heads.angular_margin import AngularMargin, further, nearer, value_at
from wavlm.evaluation.heads.ecapa import Ecapa
from wavlm.specs.speakers import AngularMarginLoss, EcapaHead

pytestmark = pytest.mark.numeric
OUTPUTS = np.load(Path(__file__).parents[1] / "reference/speechbrain.npz")
LENGTHS = torch.tensor(values.LENGTHS)
NARROW = EcapaHead(type="ecapa", **values.ECAPA)  # type: ignore[arg-type]


def like_speechbrain(width: int, spec: EcapaHead) -> Ecapa:
    head = Ecapa(width, spec)
    state = {
        name: torch.from_numpy(values.tensor(name, tuple(tensor.shape))) if tensor.dim() else tensor
        for name, tensor in head.state_dict().items()
    }
    head.load_state_dict(state)
    return head.eval()


@pytest.mark.parametrize(("spec", "width", "suffix"), [(NARROW, values.WIDTH, ""), (None, values.FULL_WIDTH, "-full")])
def test_embeddings_are_those_of_speechbrain_in_a_padded_batch(spec: EcapaHead | None, width: int, suffix: str) -> None:
    """The reference embeds each utterance alone; here what stands in the padding of the second is not zero."""
    head = like_speechbrain(width, spec or EcapaHead(type="ecapa"))
    with torch.no_grad():
        found = head(frames(width), LENGTHS)
    operations = 5 * width + 30 * 512 * 3 + 3 * 1536 if suffix else 3000
    require_close(found, torch.from_numpy(OUTPUTS[f"ecapa{suffix}"]), operations)


def test_updates_with_a_margin_are_those_of_speechbrain() -> None:
    loss = AngularMargin(7, values.NUM_CLASSES, AngularMarginLoss())
    head = nn.ModuleDict({"ecapa": like_speechbrain(values.WIDTH, NARROW), "margins": loss})
    with torch.no_grad():
        loss.speakers.copy_(torch.from_numpy(values.tensor("margins.speakers", (values.NUM_CLASSES, 7))))
    full, classes = torch.tensor([24, 24]), torch.tensor([1, 3])
    found = losses(head, lambda: loss(head["ecapa"](frames(), full), classes, 0))
    # Adam divides a gradient by its own size, so rounding of a small one is not small in the next weights.
    torch.testing.assert_close(found, torch.from_numpy(OUTPUTS["ecapa-losses"]), rtol=1e-3, atol=1e-5)
    assert len(set(found.tolist())) == values.NUM_UPDATES + 1


def test_training_counts_frames_of_utterances_alone() -> None:
    """Statistics of a padded batch are those of its frames: another padding changes neither loss nor statistics."""
    heads = [like_speechbrain(values.WIDTH, NARROW).train() for _ in range(2)]
    padded = torch.cat([frames(), torch.full((2, 5, values.WIDTH), 7.0)], dim=1)
    found = [head(given, LENGTHS) for head, given in zip(heads, (frames(), padded), strict=True)]
    require_close(found[1].detach(), found[0].detach(), 3000)
    states = [head.state_dict() for head in heads]
    require_close(states[1]["first.norm.running_var"], states[0]["first.norm.running_var"], 3000)
    moved = states[0]["first.norm.running_var"] - like_speechbrain(values.WIDTH, NARROW).first.norm.running_var
    assert float(moved.abs().min()) > 0


def test_a_single_utterance_can_be_trained_on() -> None:
    head = like_speechbrain(values.WIDTH, NARROW).train()
    assert torch.isfinite(head(frames()[:1], LENGTHS[:1])).all()


def test_only_the_first_channels_are_read_where_the_spec_says_so() -> None:
    head = Ecapa(values.WIDTH, NARROW.model_copy(update={"input_channels": 4})).eval()
    changed = frames().clone()
    changed[..., 4:] += 3
    assert torch.equal(head(changed, LENGTHS), head(frames(), LENGTHS))
    changed[..., 3] += torch.arange(24.0)
    assert not torch.equal(head(changed, LENGTHS), head(frames(), LENGTHS))


ANGLES = torch.tensor([0.05, 0.3, 1.5, 2.8, 3.0], dtype=torch.float64)


def test_a_margin_is_added_to_an_angle_until_it_would_be_more_than_a_half_turn() -> None:
    found = further(ANGLES.cos(), 0.2)
    expected = [math.cos(angle + 0.2) for angle in ANGLES[:4].tolist()] + [math.cos(3.0) - 1 + math.cos(0.2)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    edge = torch.tensor([math.pi - 0.2 - 1e-6, math.pi - 0.2 + 1e-6], dtype=torch.float64)
    assert float(further(edge.cos(), 0.2).diff().abs()) < 1e-5  # no jump
    assert (further(torch.linspace(-1, 1, 99), 0.5).diff() > 0).all()  # a smaller angle is always better


def test_a_penalty_is_taken_off_an_angle_until_nothing_is_left() -> None:
    found = nearer(ANGLES.cos(), 0.1)
    expected = [math.cos(0.05) + 1 - math.cos(0.1)] + [math.cos(angle - 0.1) for angle in ANGLES[1:].tolist()]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert (nearer(torch.linspace(-1, 1, 99), 0.1).diff() > 0).all()


def _at_angles(angles: list[float], spec: AngularMarginLoss) -> tuple[AngularMargin, Tensor]:
    """Centres in a plane at these angles from the vector."""
    loss = AngularMargin(2, len(angles) // spec.sub_centers, spec)
    with torch.no_grad():
        loss.speakers.copy_(3 * torch.tensor([[math.cos(a), math.sin(a)] for a in angles]))  # lengths do not matter
    return loss, torch.tensor([[0.7, 0.0]])


def test_the_loss_of_angles_in_a_plane_with_all_its_parts() -> None:
    """Speaker 1 is right. Of its centres the nearest is at 0.6; the nearest wrong speakers are 0 and 3, not 2."""
    spec = AngularMarginLoss(scale=8.0, margin=((0, 0.3),), top_k=2, penalty=((0, 0.1),), sub_centers=2)
    loss, vector = _at_angles([0.9, 2.0, -1.4, 0.6, 1.9, 2.5, 1.2, -1.1], spec)
    logits = [8 * math.cos(angle) for angle in (0.9 - 0.1, 0.6 + 0.3, 1.9, 1.1 - 0.1)]
    expected = math.log(sum(map(math.exp, logits))) - logits[1]
    assert float(loss(vector, torch.tensor([1]), 0).detach()) == pytest.approx(expected, rel=1e-5)
    assert loss.cosines(vector)[0].detach().tolist() == pytest.approx(
        [math.cos(a) for a in (0.9, 0.6, 1.9, 1.1)], abs=1e-6
    )


def test_the_margin_follows_its_schedule_over_the_updates() -> None:
    spec = AngularMarginLoss(scale=4.0, margin=((10, 0.0), (20, 0.2)))
    loss, vector = _at_angles([0.5, 1.0], spec)
    for update, margin in ((0, 0.0), (10, 0.0), (15, 0.1), (20, 0.2), (999, 0.2)):
        right, wrong = 4 * math.cos(0.5 + margin), 4 * math.cos(1.0)
        expected = math.log(1 + math.exp(wrong - right))
        assert float(loss(vector, torch.tensor([0]), update).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("update", "expected"), [(19, 0.0), (30, 0.2 * (1 - 10**-1.5)), (39, 0.2 * (1 - 10**-2.85)), (40, 0.2)]
)
def test_an_exponential_rise_leaves_a_thousandth_at_its_end(update: int, expected: float) -> None:
    assert value_at(((20, 0.0), (40, 0.2)), update, is_exponential=True) == pytest.approx(expected, rel=1e-9)


def test_schedules_and_penalties_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="found the updates 20, 10, expected them to rise"):
        AngularMarginLoss(margin=((20, 0.0), (10, 0.2)))
    with pytest.raises(ValueError, match="say how many in top_k"):
        AngularMarginLoss(penalty=((0, 0.1),))
    with pytest.raises(ValueError, match="8 groups do not divide the width 30"):
        EcapaHead(type="ecapa", channels=30)
