"""The corpora that are shipped as specs."""

from pathlib import Path

import pytest

from wavlm.specs import AptSource, HttpsSource
from wavlm.specs.yaml import read_corpus

ROOT = Path(__file__).parents[2]


def list_shipped() -> list[str]:
    return sorted(path.stem for path in (ROOT / "data_specs/corpora").glob("*.yaml"))


@pytest.mark.parametrize("name", list_shipped())
def test_shipped_corpora_are_named_as_their_files_and_say_whose_they_are(name: str) -> None:
    corpus = read_corpus(ROOT / f"data_specs/corpora/{name}.yaml")
    assert corpus.name == name
    assert all([corpus.description, corpus.homepage, corpus.license, corpus.citation])
    for source in corpus.sources:
        if isinstance(source, HttpsSource | AptSource):
            assert all(url.startswith("https://") for url in source.urls)


def test_the_demo_downloads_less_than_260_megabytes() -> None:
    names = ["festvox-ru", "etw-crowds", "moh-opsound"]
    names += [f"asterisk-{language}" for language in ("en", "es", "fr", "it", "ru")]
    sizes = [
        source.size_bytes
        for name in names
        for source in read_corpus(ROOT / f"data_specs/corpora/{name}.yaml").sources
        if isinstance(source, AptSource)
    ]
    assert len(sizes) == 8
    assert sum(sizes) < 260e6
