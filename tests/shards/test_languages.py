"""The account of each language of a corpus adds up to that of the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shards.corpora import SPEC, Clip, noise_clip, write_corpus
from wavlm.shards.build import build_shards
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import ShardSpec


def build(folder: Path, clips: list[Clip], **changes: object) -> ShardsFacts:
    write_corpus(folder / "corpus", clips)
    spec = ShardSpec.model_validate(SPEC.model_dump() | changes)
    (folder / "shards").mkdir()
    return build_shards(spec, folder / "corpus", folder / "shards", 1, lambda done, total: None)


def speaking(language: str | None, clip: Clip) -> Clip:
    return Clip(**{**vars(clip), "language": language})


def test_recordings_rejects_and_hours_are_counted_for_each_language(tmp_path: Path) -> None:
    clips = [
        speaking("en", noise_clip("a", 1.0)),
        speaking("en", noise_clip("b", 2.0, speaker="vera", split="valid")),
        speaking("cs", noise_clip("c", 1.5)),
        speaking("cs", noise_clip("short", 0.1)),
        speaking("cs", Clip("broken", b"RIFF....WAVEnothing")),
        speaking(None, noise_clip("d", 0.75)),
    ]
    facts = build(tmp_path, clips, max_rejected=0.5)
    assert list(facts.languages) == ["cs", "en", "unknown"]
    czech, english, unknown = facts.languages.values()
    assert (czech.recordings, czech.excluded, czech.rejected, czech.utterances) == (3, 1, 1, 1)
    assert (english.recordings, english.excluded, english.rejected, english.utterances) == (2, 0, 0, 2)
    assert [item.hours * 3600 for item in (czech, english, unknown)] == pytest.approx([1.5, 3.0, 0.75], abs=0.002)
    assert english.valid_hours * 3600 == pytest.approx(2.0, abs=0.002)
    assert sum(item.hours for item in facts.languages.values()) == pytest.approx(facts.hours, abs=2e-6)
    assert sum(item.recordings for item in facts.languages.values()) == facts.recordings
    assert sum(item.rejected for item in facts.languages.values()) == sum(facts.rejected.values())
    assert sum(item.excluded for item in facts.languages.values()) == sum(facts.excluded.values())


def test_a_corpus_of_no_known_language_has_no_such_account(tmp_path: Path) -> None:
    assert build(tmp_path, [noise_clip("a", 1.0), noise_clip("b", 1.0)]).languages == {}


def test_a_column_that_names_no_languages_makes_no_endless_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.shards.languages.MOST_LANGUAGES", 2)
    assert build(tmp_path, [speaking(name, noise_clip(name, 1.0)) for name in "abc"]).languages == {}
