"""Corpora: where their bytes come from, how they are laid out, whose they are."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from wavlm.specs.base import Count, Md5, Name, NonNegative, Sha256, Spec


def _check_below_root(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError("expected a path below the corpus' root")
    return path


def _check_not_empty(path: str) -> str:
    if not PurePosixPath(path).parts:
        raise ValueError("expected a glob such as **/*.flac")
    return path


Below = Annotated[str, AfterValidator(_check_below_root)]


class HttpsSource(Spec):
    """An archive behind one or more https mirrors, pinned by its publisher's digest.

    Many publishers give only an md5. It finds damage, but not a forger; the sha256 of what was
    fetched is then recorded in the corpus' facts.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls", "size_bytes"})

    type: Literal["https"]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    size_bytes: Count | None = None
    format: Literal["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"]

    @model_validator(mode="after")
    def _check_pinned_once(self) -> HttpsSource:
        if (self.sha256 is None) == (self.md5 is None):
            raise ValueError("exactly one of sha256 and md5 must be given")
        return self


class AptSource(Spec):
    """A Debian package, fetched with apt-get but never installed; no root needed.

    `urls` are the same file in Debian's own pool: another distribution or release has other
    versions, or other bytes under the same version.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls", "size_bytes"})

    type: Literal["apt"]
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+:~-]+$")]
    sha256: Sha256
    size_bytes: Count
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()


class FolderSource(Spec):
    """Files that are already here. `revision` names their state: change it when they change."""

    type: Literal["folder"]
    path: str
    revision: str


Source = Annotated[HttpsSource | AptSource | FolderSource, Field(discriminator="type")]


class LibrispeechLayout(Spec):
    """<root>/.../<speaker>/<chapter>/<speaker>-<chapter>-<n>.flac with *.trans.txt beside them."""

    type: Literal["librispeech"]
    root: Below = ""


class GenericLayout(Spec):
    """Any tree. `audio` is a glob; `speaker` a regex on the path with a group `speaker`."""

    type: Literal["generic"]
    audio: Annotated[Below, AfterValidator(_check_not_empty)] = "**/*"
    speaker: str = ""
    transcripts: Below = ""  # TSV with a header that names utt_id and text
    phones: Below = ""  # TSV with a header that names utt_id, start_s, end_s, phone


class FilletsLayout(Spec):
    """Fish Fillets NG dialogues: the role in the dialogue script is the speaker."""

    type: Literal["fillets"]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class AsteriskLayout(Spec):
    """Asterisk prompt trees: raw G.722 files, one voice a package."""

    type: Literal["asterisk"]
    speaker: Name


class FestvoxLayout(Spec):
    """A Festvox clunits voice: wav/ sentences and a catalogue of timed phones."""

    type: Literal["festvox"]
    speaker: Name


Layout = Annotated[
    LibrispeechLayout | GenericLayout | FilletsLayout | AsteriskLayout | FestvoxLayout,
    Field(discriminator="type"),
]


class CorpusSpec(Spec):
    """One corpus: where its bytes come from, how they are laid out, whose they are."""

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"description", "homepage", "license", "citation", "gated", "expected_hours"}
    )

    name: Name
    role: Literal["speech", "noise", "room"]
    description: str
    homepage: str
    license: str
    citation: str
    sources: tuple[Source, ...] = Field(min_length=1)
    layout: Layout
    # Share of the audio that becomes the valid split, by whole speakers; a corpus of one speaker
    # gives whole utterances instead, and its manifest says so.
    valid_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    valid_speakers: tuple[str, ...] = ()
    expected_hours: NonNegative = 0.0  # what the publisher says; for `wavlm plan --cost`
    gated: bool = False  # needs an agreement first: only a folder source can be used
