"""Sources of corpora: archives on web servers, Debian packages, speech that is made here, and folders."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Md5, Natural, NonNegative, Sha256, Spec
from wavlm.specs.made import MadeSource
from wavlm.specs.paths import Below

ArchiveFormat = Literal["tar", "tar.gz", "tar.xz", "tar.bz2", "zip", "file", "file.gz"]


class HttpsSource(Spec):
    """An archive on one or more web servers. A digest from its publisher pins its content.

    Many publishers give only an md5. An md5 finds damage, but it does not stop a forger. The sha256 of the
    downloaded file is then recorded in the facts of the corpus. Some give no digest at all: see `digest_from`.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"urls", "size_bytes", "published_gigabytes", "digest_from", "digests"}
    )

    type: Literal["https"]
    """Selects this kind of source."""

    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    """Addresses of the same file, tried in this order.

    Numbers in braces, as in `en_{2009..2020}.tar`, stand for as many sources. `to` may have the same. Zeros in front
    are kept: `{00000..00803}`. This is for archives without a digest from their publisher.
    Change: add a mirror that is near to you. The key of the corpus stays the same.
    """

    sha256: Sha256 | None = None
    """SHA-256 of the archive, in hex. Give either this or `md5`.

    Source: the publisher's page. With `digest_from: first-download` it is filled in.
    Change: when the publisher replaces the archive. This makes another corpus.
    """

    md5: Md5 | None = None
    """MD5 of the archive, in hex. Give either this or `sha256`.

    Source: the publisher's page.
    Change: use it only where the publisher gives no SHA-256.
    """

    digest_from: Literal["publisher", "first-download"] = "publisher"
    """Who says which bytes are right.

    `publisher`: `sha256` or `md5`. `first-download`: the publisher gives neither. The SHA-256 of the first download is
    noted in the store and in `digests`. The key of the corpus is known from then on, and other bytes are an error.
    Change: `first-download` only where the publisher gives no digest: nobody can say whether the first one was right.
    """

    digests: str = ""
    """The file with the SHA-256 of first downloads. Not given: `NAME.digests.json` beside the file of the corpus.

    A relative path starts at the folder of that file. Commit it: other machines then refuse other bytes.
    Change: where the folder of the corpus spec cannot be written.
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

    format: ArchiveFormat
    """How the archive is packed. `file`: it is one file, kept as it is. `file.gz`: one file, compressed by gzip."""

    to: Below = ""
    """Folder below that of all audio into which the archive is unpacked. Of one file or a container: its path there.

    Change: where archives hold only a part of the publisher's tree, such as `raw_audios` of VoxPopuli.
    """

    encryption: Literal["none", "openssl-aes-256-cbc"] = "none"
    """How the archive is encrypted. The corpus' `access` names the variable that holds the password.

    `openssl-aes-256-cbc`: as `openssl enc -aes-256-cbc -pbkdf2` does, with its 10,000 rounds of SHA-256. The digest is
    that of the encrypted file.
    Change: for archives that their publisher encrypts, such as those of GigaSpeech.
    """

    lists: Literal["nothing", "gigaspeech"] = "nothing"
    """What the file is, besides a part of the corpus: a list of further archives, which are downloaded, too.

    `gigaspeech`: the publisher's `files.yaml`, with path and md5 of each. The archives lie beside it on the server, are
    encrypted, and are unpacked where their paths say; what belongs to `dict` is left out.
    Change: for GigaSpeech alone.
    """

    @property
    def is_known(self) -> bool:
        """Whether a digest says which bytes the archive has. A first download has none before it."""
        return self.sha256 is not None or self.md5 is not None

    @property
    def file_name(self) -> str:
        """Name of the downloaded file: the digest that pins it; before the first download one that stands for it."""
        return f"{self.sha256 or self.md5 or self.address_digest}.{self.packed_as}"

    @property
    def address_digest(self) -> str:
        """What stands for an archive that has no digest yet: that of its first address."""
        return self.digest_of_address(self.urls[0])

    @staticmethod
    def digest_of_address(url: str) -> str:
        """The SHA-256 of an address, in hex: it tells archives apart whose addresses may hold secrets."""
        return hashlib.sha256(url.encode()).hexdigest()

    @property
    def packed_as(self) -> str:
        """The format of the downloaded file: `aes` behind that of the archive, if it is encrypted."""
        return self.format if self.encryption == "none" else f"{self.format}.aes"

    @model_validator(mode="after")
    def _check_pinned_once(self) -> HttpsSource:
        if self.digest_from == "publisher" and (self.sha256 is None) == (self.md5 is None):
            raise FieldError(
                "exactly one of sha256 and md5 must be given, or digest_from: first-download if there is none",
                "md5" if self.md5 else "sha256",
            )
        if self.digest_from == "first-download" and self.md5 is not None:
            raise FieldError("an md5 is from the publisher, so digest_from must be, too", "md5")
        if self.format in ("file", "file.gz") and not self.to:
            raise FieldError("one file needs its path below the folder of all audio", "to")
        if self.lists != "nothing" and self.format != "file":
            raise FieldError("a list is a file as it is: format must be file", "format")
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


Archive = HttpsSource | AptSource | MadeSource  # a file among the downloads, which is unpacked
Source = Annotated[Archive | FolderSource, Field(discriminator="type")]
