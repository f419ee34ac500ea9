"""Label quality compared with tables made by hand and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from wavlm.labels.quality import JointCounts, joint_counts, label_quality, merge_counts

pytestmark = pytest.mark.numeric


def frames_of(*runs: tuple[str, int]) -> list[tuple[float, float, str]]:
    """Phones that contain the given numbers of frames. Their borders lie between the centres of two frames."""
    phones, frame = [], 0
    for name, count in runs:
        phones.append((frame * 0.02 + 0.0025, (frame + count) * 0.02 + 0.0025, name))
        frame += count
    return phones


def test_labels_that_match_the_phones_have_the_best_quality() -> None:
    labels = np.array([3, 3, 3, 0, 0, 2], np.uint16)
    found = label_quality([(frames_of(("a", 3), ("b", 2), ("c", 1)), labels)], num_clusters=4)
    assert found.phone_purity == found.cluster_purity == 1
    assert found.pnmi == pytest.approx(1)
    assert found.num_frames == 6


def test_labels_that_never_change_have_a_pnmi_of_zero() -> None:
    labels = np.zeros(6, np.uint16)
    found = label_quality([(frames_of(("a", 3), ("b", 2), ("c", 1)), labels)], num_clusters=4)
    assert found.pnmi == pytest.approx(0, abs=1e-12)
    assert found.phone_purity == 0.5  # the most frequent phone
    assert found.cluster_purity == 1


def test_purities_of_a_table_made_by_hand() -> None:
    joint = JointCounts(("a", "b"), np.array([[3, 1, 0], [2, 0, 4]]))
    found = joint.quality()
    assert found.phone_purity == pytest.approx((3 + 1 + 4) / 10)
    assert found.cluster_purity == pytest.approx((3 + 4) / 10)


def test_a_table_without_frames_has_zeros() -> None:
    quality = JointCounts(("a", "b"), np.zeros((2, 3), np.int64)).quality()
    assert quality.model_dump() == {"phone_purity": 0.0, "cluster_purity": 0.0, "pnmi": 0.0, "num_frames": 0}


def test_pnmi_is_mutual_information_over_the_phones_entropy() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "d"])[rng.integers(0, 4, 500)]
    labels = ((names == "b") * 2 + rng.integers(0, 3, 500)).astype(np.uint16)
    phones = frames_of(*((str(name), 1) for name in names))
    found = label_quality([(phones, labels)], num_clusters=5)
    _, counts = np.unique(names, return_counts=True)
    assert found.pnmi == pytest.approx(mutual_info_score(names, labels) / entropy(counts))


def test_a_frame_belongs_to_the_phone_that_holds_its_centre() -> None:
    # Frame 1 is centred on sample 520 = 32.5 ms.
    joint = joint_counts([(0.0, 0.0325, "a"), (0.0325, 1.0, "b")], np.array([0, 1], np.uint16), 2)
    assert joint.phones == ("a", "b")
    np.testing.assert_array_equal(joint.counts, [[1, 0], [0, 1]])


def test_frames_outside_any_phone_are_left_out() -> None:
    phones = [(0.05, 0.06, "b"), (0.0, 0.02, "a")]  # order does not matter
    joint = joint_counts(phones, np.array([0, 1, 1, 1, 1], np.uint16), 2)
    # Centres lie at 12.5, 32.5, 52.5, 72.5 and 92.5 ms: only the first and the third are inside.
    np.testing.assert_array_equal(joint.counts, [[1, 0], [0, 1]])


def test_an_utterance_without_phones_counts_nothing() -> None:
    assert label_quality([([], np.zeros(9, np.uint16))], num_clusters=2).num_frames == 0


def test_tables_with_different_phones_add_up() -> None:
    one = JointCounts(("a", "c"), np.array([[1, 2], [3, 4]]))
    other = JointCounts(("b", "c"), np.array([[10, 20], [30, 40]]))
    total = merge_counts([one, JointCounts((), np.zeros((0, 2), np.int64)), other])
    assert total.phones == ("a", "b", "c")
    np.testing.assert_array_equal(total.counts, [[1, 2], [10, 20], [33, 44]])


def test_tables_of_different_codebooks_do_not_add_up() -> None:
    tables = [JointCounts(("a",), np.ones((1, width), np.int64)) for width in (2, 3)]
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        merge_counts(tables)
