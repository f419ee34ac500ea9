"""Specs of models that a recipe takes from elsewhere: as the teacher of its labels, or as the weights to start from."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Name, Sha256, Spec
from wavlm.specs.network import NetworkSpec


class ModelFolder(Spec):
    """A model that is already on this machine: a folder or a file.

    It is identified by the content of its files, not by the place: it may be moved or copied.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"path"})

    type: Literal["folder"]
    """Selects this kind of source."""

    path: str
    """A Hugging Face folder (`config.json`), a file in fairseq's layout (`.pt`), or a model folder of this pipeline.

    `~` is the home folder; a relative path starts at the folder of the file that it stands in.
    Change: to the place of your files. The key stays the same.
    """

    content: Sha256 | None = None
    """SHA-256 of the file; of a folder, of the names and SHA-256 of the files that describe and hold the network.

    Not given: it is filled in.
    Source: `content` in the facts of the model, in its `artifact.json`.
    Change: give it to pin the model. Other files are then an error, and not another model.
    """


class ModelArchive(Spec):
    """A model on one or more web servers: an archive of one of the folders, or one file in fairseq's layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls", "size_bytes"})

    type: Literal["https"]
    """Selects this kind of source."""

    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    """Addresses of the same file, tried in this order.

    Change: add a mirror that is near to you. The key of the model stays the same.
    """

    sha256: Sha256
    """SHA-256 of the downloaded file, in hex.

    Source: the publisher's page.
    Change: when the publisher replaces the file. This makes another model.
    """

    format: Literal["tar", "tar.gz", "tar.xz", "tar.bz2", "zip", "pt"]
    """How the file is packed. `pt`: it is no archive, but a file in fairseq's layout itself."""

    inside: str = ""
    """Path of the model's folder or file in the archive. Empty: the only model in it.

    Change: give it where an archive holds several models.
    """

    size_bytes: Count | None = None
    """Size of the file.

    Unit: bytes.
    Source: the publisher's page.
    Change: leave it out where it is not known.
    """

    @property
    def file_name(self) -> str:
        """Name of the downloaded file: the digest that pins it."""
        return f"{self.sha256}.{self.format}"


class ModelVersion(Spec):
    """A version of a model in the MLflow registry, by its number or by an alias.

    A run asks the registry once which version an alias means, and remembers the answer in the store. In YAML in short:
    `registry: NAME@ALIAS` or `registry: NAME:VERSION`, in place of `source`.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"alias"})

    type: Literal["registry"]
    """Selects this kind of source."""

    model: Annotated[str, Field(pattern=r"^[^/:\s][^/:]{0,249}$")]
    """Name of the registered model."""

    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")] | None = None
    """Number of the version. Give either this or `alias`.

    Change: to pin a version. Not given: it is filled in from the alias.
    """

    alias: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")] | None = None
    """Alias of the version, such as `champion`.

    Change: give it where the recipe should begin with what is best at that time.
    """

    sha256: Sha256 | None = None
    """SHA-256 of the version's `model.safetensors`, in hex. Not given: it is filled in from the registry.

    Change: give it to pin the weights. A version with others is then an error.
    """

    @property
    def reference(self) -> str:
        """`NAME@ALIAS` or `NAME:VERSION`, as it was asked for."""
        return f"{self.model}@{self.alias}" if self.alias else f"{self.model}:{self.version}"

    @model_validator(mode="after")
    def _check_named(self) -> ModelVersion:
        if self.version is None and self.alias is None:
            raise FieldError("neither version nor alias is given: give one of them", "version")
        return self


ModelSource = Annotated[ModelFolder | ModelArchive | ModelVersion, Field(discriminator="type")]


class ModelSpec(Spec):
    """A model from elsewhere: a file of data_specs/models, or written out in a recipe."""

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"description", "homepage", "license", "citation", "trained_on", "network", "first"}
    )

    source: ModelSource
    """Where the model comes from: a folder or file, an archive on a web server, or the registry."""

    description: str = ""
    """What the model is, for people and for the model card.

    Change: say what you know of a model that you did not train yourself.
    """

    homepage: str = ""
    """The publisher's page. It is also named in errors and in the model card.

    Change: give it for a released model.
    """

    license: str = ""
    """Licence of the weights. It is copied into the card of every model that is made with this one.

    Change: give it for every model that you did not train yourself.
    """

    citation: str = ""
    """How to cite the model. It is copied into the model card.

    Change: give it for a released model.
    """

    trained_on: tuple[Name, ...] = ()
    """Corpora that the model was trained on, as its publisher says: names such as `librispeech`, `libri-light`.

    An evaluation on one of them, or on a part of it such as `librispeech-test-clean`, says so beneath its figures. Not
    given, and no card lists them: it says that nobody knows.
    Change: give it for every model that you did not train yourself.
    """

    first: Name | None = None
    """Of a version by an alias: another of the recipe's models, which stands in while no version has the alias yet.

    Change: give it where the loop begins with a released model and goes on with your own champion.
    """

    part: Literal["network", "system"] = "network"
    """What is taken of it: its network, or network and head of a system that `wavlm finetune` made.

    Change: to `system` for what a system of the recipe goes on from.
    """

    network: NetworkSpec | None = None
    """The network that the model has, so that a recipe can be checked before the model is there.

    It is compared with the model's own description. In YAML: the name of a file of data_specs/networks, that with
    changes, or written out. An iteration that gives `network: {model: NAME}` takes it from here.
    Change: give it for models that are fetched, and to name it by `network: {model: NAME}`.
    """

    @property
    def folder(self) -> ModelFolder | None:
        """The place that the model is read from; None if it is fetched."""
        return self.source if isinstance(self.source, ModelFolder) else None

    @property
    def is_known(self) -> bool:
        """Whether the bytes of the model are identified. A folder is hashed for that, a registry asked."""
        source = self.source
        if isinstance(source, ModelFolder):
            return source.content is not None
        return isinstance(source, ModelArchive) or (source.version is not None and source.sha256 is not None)
