"""People reported: a bit of a sealed file flips, the stage that uses it ends with exit code 0 and another result.

Of 12 flips in a model 5 changed the scores; truth tables, the cache of labels and a training's curve were believed; and
104 of 332 damages of indexes, listings, codebooks and labels ended in a traceback. Here every file of every kind of
artifact is damaged before each stage that reads it. Nothing may be silent, and every error has a code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.chain import CASES, HARMLESS, LABELS, SCORING, STREAM, Chain, Consumer, no_pictures, write_chain
from tests.sealed import DAMAGES, damaged, seal
from tests.shards.corpora import SPEC, noise_clip, write_corpus
from wavlm.errors import CodedError
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards, read_index
from wavlm.shards.rejects import read_rejects


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    with no_pictures():
        yield


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return write_chain(tmp_path_factory.mktemp("damage"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "use", "tries"), CASES, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(CASES)]
)
def test_damage_is_an_error_with_a_code(chain: Chain, tmp_path: Path, name: str, use: Consumer, tries: int) -> None:
    whole = use(chain, tmp_path / "whole")
    assert use(chain, tmp_path / "again") == whole
    path = chain.root / name
    for number, damage in enumerate(damage for damage in DAMAGES for _ in range(tries)):
        with damaged(path, damage, number) as has_changed:
            try:
                found = use(chain, tmp_path / str(number))
            except CodedError as error:
                assert str(path) in str(error) or path.name in str(error)  # noqa: PT017 - most are expected to raise
                assert_has_form(str(error))
                continue
        assert found == whole, f"{damage.__name__} {number} of {name} gave another result, and no error"
        assert path.suffix in HARMLESS or not has_changed, f"{damage.__name__} {number} of {name} was not noticed"


def assert_has_form(message: str) -> None:
    """CODE: what happened; where; what to do."""
    code, _, text = message.partition(": ")
    assert code.replace("_", "").isupper()
    assert len(text.split("; ")) >= 3, message


def test_a_file_that_is_gone_is_an_error_with_a_code(chain: Chain, tmp_path: Path) -> None:
    for number, (name, use, _) in enumerate(CASES):
        if use is STREAM:
            continue  # one tar at a time
        path = chain.root / name
        hidden = path.rename(path.with_name(f"{path.name}.gone"))
        try:
            with pytest.raises(CodedError, match="; "):
                use(chain, tmp_path / str(number))
        finally:
            hidden.rename(path)


def test_other_data_of_the_same_size_are_noticed_where_they_are_read(chain: Chain, tmp_path: Path) -> None:
    """Another tar that decodes well, such as one of a backup: FLAC's own checksums say nothing then."""
    index = read_index(chain.shards)
    tar = chain.shards / "train-000000.tar"
    whole = tar.read_bytes()
    first, second = (slice(int(index.offsets[row]), int(index.offsets[row] + index.sizes[row])) for row in (0, 1))
    tar.write_bytes(whole[: first.start] + whole[second] + whole[first.start + len(whole[second]) :])
    try:
        for number, use in enumerate((LABELS, STREAM)):
            with pytest.raises(CodedError):
                use(chain, tmp_path / str(number))
    finally:
        tar.write_bytes(whole)


@pytest.mark.parametrize("use", [STREAM, SCORING, LABELS])
def test_a_changed_phone_in_a_tar_is_noticed_where_the_tar_is_read(chain: Chain, tmp_path: Path, use: Consumer) -> None:
    """A json member has no checksum of its own."""
    tar = chain.shards / "train-000000.tar"
    whole = tar.read_bytes()
    assert b'"low"' in whole
    tar.write_bytes(whole.replace(b'"low"', b'"lov"', 1))
    try:
        with pytest.raises(CodedError, match=r"(SHARD_DAMAGED|CHECKSUM): .*sha256"):
            use(chain, tmp_path / "out")
    finally:
        tar.write_bytes(whole)


def test_rejects_that_were_changed_are_refused(tmp_path: Path) -> None:
    clips = [noise_clip("a-1", 0.6), noise_clip("a-2", 0.1)]
    build_shards(SPEC, write_corpus(tmp_path / "corpus", clips), tmp_path / "out", 1, no_progress)
    seal(tmp_path / "out")
    path = tmp_path / "out/rejects.parquet"
    assert len(read_rejects(path.parent)) == 1
    for number, damage in enumerate(DAMAGES):
        with damaged(path, damage, number), pytest.raises(CodedError, match="CHECKSUM"):
            read_rejects(path.parent)
