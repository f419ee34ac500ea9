"""Corpus specs: sources (archives, Debian packages, folders), licence and validation split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Md5, Name, Natural, NonNegative, Probability, Sha256, Spec
from wavlm.specs.layouts import Layout


class HttpsSource(Spec):
    """An archive on one or more web servers. A digest from its publisher pins its content.

    Many publishers give only an md5. An md5 finds damage, but it does not stop a forger. The sha256 of the
    downloaded file is then recorded in the facts of the corpus.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls", "size_bytes", "published_gigabytes"})

    type: Literal["https"]
    """Selects this kind of source."""

    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    """Addresses of the same file, tried in this order.

    Change: add a mirror that is near to you. The key of the corpus stays the same.
    """

    sha256: Sha256 | None = None
    """SHA-256 of the archive, in hex. Give either this or `md5`.

    Source: the publisher's page.
    Change: when the publisher replaces the archive. This makes another corpus.
    """

    md5: Md5 | None = None
    """MD5 of the archive, in hex. Give either this or `sha256`.

    Source: the publisher's page.
    Change: use it only where the publisher gives no SHA-256.
    """

    size_bytes: Count | None = None
    """Size of the archive. `wavlm plan --cost` adds these sizes up.

    Unit: bytes.
    Source: the publisher's page.
    Change: leave it out where it is not known.
    """

    published_gigabytes: NonNegative = 0.0
    """Size of the archive as its publisher rounds it, where no exact one is given. `wavlm plan --cost` adds these up.

    Unit: gigabytes (10^9 bytes). 0: unknown.
    Source: the publisher's page.
    Change: give it instead of `size_bytes`, which a download must have to the byte.
    """

    format: Literal["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"]
    """How the archive is packed."""

    @property
    def file_name(self) -> str:
        """Name of the downloaded file: the digest that pins it."""
        return f"{self.sha256 or self.md5}.{self.format}"

    @model_validator(mode="after")
    def _check_pinned_once(self) -> HttpsSource:
        if (self.sha256 is None) == (self.md5 is None):
            raise FieldError("exactly one of sha256 and md5 must be given", "md5" if self.md5 else "sha256")
        return self


class AptSource(Spec):
    """A Debian package. It is downloaded with apt-get and unpacked, but never installed; root is not needed."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls", "size_bytes"})

    type: Literal["apt"]
    """Selects this kind of source."""

    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
    """Name of the Debian package.

    Source: `apt-cache show PACKAGE`.
    """

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+:~-]+$")]
    """Version of the package.

    Source: `apt-cache show PACKAGE`.
    Change: when your release has another version whose audio you want. This makes another corpus.
    """

    sha256: Sha256
    """SHA-256 of the .deb file, in hex. Distributions can have different bytes under the same version.

    Source: `apt-cache show PACKAGE`.
    Change: together with `version`.
    """

    size_bytes: Count
    """Size of the .deb file.

    Unit: bytes.
    Source: `apt-cache show PACKAGE`.
    Change: together with `version`.
    """

    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()
    """Addresses of the same .deb file in Debian's pool, for a machine whose own archive has another version.

    Change: add an address so that other distributions and releases can use the corpus.
    """

    @property
    def file_name(self) -> str:
        """Name of the downloaded file: the digest that pins it."""
        return f"{self.sha256}.deb"


class FolderSource(Spec):
    """Files that are already on this machine. They are read in place and not copied.

    The corpus is identified by their content, not by the place: the folder may be moved or copied. A file that is
    added, changed or removed makes another generation of the corpus (docs/decisions/0044-generations.md).
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"path", "revision", "generations", "generation_bytes"})

    type: Literal["folder"]
    """Selects this kind of source."""

    path: str
    """The folder. `~` is the home folder; a relative path starts at the folder of the file that it stands in.

    Change: to the place of your files. The key stays the same.
    """

    content: Sha256 | None = None
    """SHA-256 of the folder's content: of the path, size and SHA-256 of each file. Not given: it is filled in.

    Of a corpus that has grown it is the content of the first generation.
    Source: the facts of the corpus, in its `artifact.json`.
    Change: give it to pin the content. Other files are then an error, and no further generation.
    """

    grown: tuple[Sha256, ...] = ()
    """What each later generation added, changed and removed: a SHA-256 each, oldest first. It is filled in.

    Source: the list of generations beside the corpus spec, and what has changed since.
    Change: never.
    """

    generations: str = ""
    """The folder of the list of generations. Not given: `NAME.generations` beside the file of the corpus.

    A relative path starts at the folder of that file.
    Change: where the folder of the corpus spec cannot be written, or lies in the folder of the speech.
    """

    generation_bytes: tuple[Natural, ...] = ()
    """How large the folder was in each generation, oldest first. It is filled in.

    Unit: bytes.
    Change: never.
    """

    revision: str = ""
    """A note about the content, such as a date. Nothing depends on it.

    Change: whenever you like.
    """

    @property
    def generation(self) -> int:
        """The number of the generation, from 1 on."""
        return 1 + len(self.grown)

    def until(self, generation: int) -> FolderSource:
        """The same folder as an earlier generation had it."""
        sizes = self.generation_bytes[:generation]
        return self.model_copy(update={"grown": self.grown[: generation - 1], "generation_bytes": sizes})


Source = Annotated[HttpsSource | AptSource | FolderSource, Field(discriminator="type")]


class HoldOut(Spec):
    """Which recordings are held out for validation: those whose speaker or whose key has a hash below a threshold."""

    by: Literal["speakers", "recordings"]
    """What is hashed: the name of the speaker, so that no speaker is in both splits, or the key of the recording.

    If no speaker is below the threshold, recordings are held out.
    """

    below: Annotated[float, Field(gt=0, le=1)]
    """The threshold. A hash is a number from 0 to 1, so this is about the share that is held out.

    Unit: fraction, 0 to 1.
    """


class CorpusSpec(Spec):
    """One corpus: a file of data_specs/corpora."""

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"description", "homepage", "license", "citation", "gated", "expected_hours", "max_left_out"}
    )

    name: Name
    """Name of the corpus, and of its file without `.yaml`. Recipes use this name."""

    role: Literal["speech", "noise", "room"]
    """What the corpus holds: speech to train on, noise to add, or room impulse responses."""

    description: str
    """What the corpus is, for people and for the model card."""

    homepage: str
    """The publisher's page. It is also named in errors."""

    license: str
    """Licence of the audio. It is copied into every model card."""

    citation: str
    """How to cite the corpus. It is copied into every model card."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where the files come from: archives and packages, or one folder.

    All archives are unpacked into one tree. Where two hold the same path, the later one's file is kept.
    """

    layout: Layout
    """How the files are arranged: where the audio, the speaker, the text and the phones are found."""

    language: str = ""
    """Language of the recordings for which the layout names none, such as `cs`. Empty: not known.

    Training can take speech by language, and validation, label quality and hours are reported by language.
    Change: give it where all recordings have one language.
    """

    channels: Literal["mean", "each", "first"] | Count = "mean"
    """What is taken from a recording of several channels.

    `mean`: their mean. `each`: every channel is a recording of its own, with a speaker of its own: keys and names end
    in -c1, -c2 and so on, and texts and phones are kept only where there is one channel. `first`, or a number counted
    from 1: that channel alone.
    Change: `each` for telephone calls with a party per channel; a number where one microphone is the good one.
    """

    valid_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    """How much of the audio is held out for validation: every speaker whose name has a hash below this number.

    A hash does not change, so a corpus that grows keeps its validation set. If no speaker is below it, or those below
    it have more than twice this share of the audio, recordings are held out by the hashes of their keys, and at least
    half of this share.
    The manifest and the summary say which rule was used.
    Unit: fraction of the seconds, 0 to 0.5. 0: nothing is held out.
    Source: the default is that of fairseq's `wav2vec_manifest.py --valid-percent`.
    Change: larger for a small corpus (0.05 in the demo), smaller for a large one (0.001 for Libri-Light).
    """

    valid_speakers: tuple[str, ...] = ()
    """Speakers that are held out for validation. If any are listed, `valid_fraction` is not used.

    Change: list them where the publisher defines a validation set, or to choose the speakers yourself.
    """

    valid_rule: HoldOut | None = None
    """Whether speakers or recordings are held out. Not given: as `valid_fraction` says.

    Where a new list of generations begins, this is filled in with the rule of the old one; without a list, with that of
    an earlier revision in the store; as long as `valid_fraction` is the same.
    Change: give it to keep the rule in another store, or to choose it.
    """

    max_left_out: Probability = 0.01
    """How many audio files may be left out by the layout, as links that lead nowhere or as hidden files.

    More are an error that names them. Folders that the layout does not read do not count.
    Unit: fraction of the audio files.
    Change: raise it if the layout leaves files out on purpose.
    """

    expected_hours: NonNegative = 0.0
    """How much audio the publisher says that there is. `wavlm plan --cost` calculates with it.

    Unit: hours. 0: unknown.
    Source: the publisher's page.
    Change: give it to get cost estimates. It does not change the key.
    """

    gated: bool = False
    """True: the publisher asks for an agreement before the download. Then the source must be a folder.

    Change: set it when you describe such a corpus.
    """

    @property
    def folder(self) -> FolderSource | None:
        """The folder that the corpus is read from in place; None if it comes from archives."""
        return next((source for source in self.sources if isinstance(source, FolderSource)), None)

    def until(self, generation: int) -> CorpusSpec:
        """The corpus as it was in an earlier generation; the same one if it is no folder."""
        if self.folder is None or generation >= self.folder.generation:
            return self
        return self.model_copy(update={"sources": (self.folder.until(generation),)})

    @property
    def holds_out(self) -> bool:
        """Whether any recording may be held out, as far as the spec tells."""
        named = any(("split" in name or name == "valid") and value for name, value in self.layout)
        return self.valid_fraction > 0 or bool(self.valid_speakers or self.valid_rule) or named
