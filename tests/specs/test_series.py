"""Numbers in braces: one entry of a corpus spec that stands for many archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_corpus

CORPUS = """name: many
role: speech
description: x
homepage: x
license: x
citation: x
sources:
  - {type: https, urls: [https://example.org/list.txt], digest_from: first-download, format: file, to: list.txt}
  - type: https
    urls: %s
    format: tar
    %s
layout: {type: generic}
"""


def read(folder: Path, urls: str, *rest: str) -> CorpusSpec:
    path = folder / "many.yaml"
    path.write_text(CORPUS % (urls, "\n    ".join(rest or ("digest_from: first-download",))))
    return read_corpus(path)


def archives(spec: CorpusSpec) -> list[tuple[str, str]]:
    return [(source.urls[0], source.to) for source in spec.sources[1:] if isinstance(source, HttpsSource)]


def test_numbers_stand_for_as_many_sources_in_their_order(tmp_path: Path) -> None:
    spec = read(
        tmp_path, "['https://example.org/en_{2009..2012}.tar']", "digest_from: first-download", "to: raw_audios"
    )
    assert archives(spec) == [(f"https://example.org/en_{year}.tar", "raw_audios") for year in range(2009, 2013)]
    assert CorpusSpec.model_validate_json(spec.model_dump_json()) == spec  # a recipe holds what was written out


def test_zeros_in_front_are_kept_and_the_path_has_the_same_number(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "['https://a.org/train-{00008..00010}-of-00804.parquet', 'https://b.org/{00008..00010}']",
        "digest_from: first-download",
        "to: 'clean/train-{00008..00010}.parquet'",
    )
    numbers = ("00008", "00009", "00010")
    paths = [(f"https://a.org/train-{text}-of-00804.parquet", f"clean/train-{text}.parquet") for text in numbers]
    assert archives(spec) == paths
    assert [source.urls[1] for source in spec.sources[1:] if isinstance(source, HttpsSource)] == [
        f"https://b.org/{text}" for text in numbers
    ]


@pytest.mark.parametrize(
    ("urls", "rest", "said"),
    [
        ("['https://a.org/{1..3}.tar']", ("sha256: '" + "0" * 64 + "'",), "are many files, but the digest"),
        ("['https://a.org/{1..3}.tar']", ("digest_from: first-download", "size_bytes: 9"), "are many files"),
        ("['https://a.org/{1..3}.tar', 'https://a.org/{2..4}.tar']", (), "must have the same numbers"),
        ("['https://a.org/{1..3}.tar', 'https://a.org/1.tar']", (), "expected two numbers in braces"),
        ("['https://a.org/{1..3}/{1..3}.tar']", (), "expected two numbers in braces"),
        ("['https://a.org/{a,b}.tar']", (), "expected two numbers in braces"),
        ("['https://a.org/{3..1}.tar']", (), "are -1 files, expected 1 to 10000"),
        ("['https://a.org/{0..999999999}.tar']", (), "are 1000000000 files"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_their_line(
    tmp_path: Path, urls: str, rest: tuple[str, ...], said: str
) -> None:
    with pytest.raises(RecipeError, match=rf"{said}.*many\.yaml:10:.*sources\.1\.urls"):
        read(tmp_path, urls, *rest)


def test_a_list_of_digests_lies_beside_the_spec_or_where_it_says(tmp_path: Path) -> None:
    usual = read(tmp_path, "[https://example.org/a.tar]")
    assert {source.digests for source in usual.unpinned} == {str(tmp_path / "many.digests.json")}
    other = read(tmp_path, "[https://example.org/a.tar]", "digest_from: first-download", "digests: ../all.json")
    assert other.unpinned[1].digests == str(tmp_path / "../all.json")


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (("to: x",), "exactly one of sha256 and md5 must be given, or digest_from: first-download"),
        (("digest_from: first-download", f"md5: {'a' * 32}"), "an md5 is from the publisher"),
        (("digest_from: nobody",), "expected one of publisher, first-download"),
    ],
)
def test_that_there_is_no_digest_has_to_be_said(tmp_path: Path, rest: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read(tmp_path, "[https://example.org/a.tar]", *rest)
