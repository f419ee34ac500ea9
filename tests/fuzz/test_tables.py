"""Tables that were changed at random are refused with a code or joined as they say."""

from collections import Counter

from tests.fuzz.tables import run


def test_changed_tables_are_refused_or_joined_as_they_say() -> None:
    results = run(count=120, seed=11)
    assert [item for item in results if item["outcome"] not in ("ok", "coded")] == []
    counts = Counter(item["outcome"] for item in results)
    assert counts["ok"] > 20
    assert counts["coded"] > 20
    assert all(str(item["detail"]).isprintable() for item in results)
