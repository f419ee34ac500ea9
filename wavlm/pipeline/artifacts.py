"""What is made: values whose fields are their identity and whose key is their digest.

Constructing an artifact runs nothing and touches no disk. A Model holds its Labels, Labels hold
their Codebook and Shards, so audio and labels that do not belong together cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias, get_args

from pydantic import JsonValue

from wavlm.specs import (
    CodebookSpec,
    CorpusSpec,
    MixSpec,
    MixturesSpec,
    NetworkSpec,
    ScoresSpec,
    ShardSpec,
    StartSpec,
    TrainSpec,
)
from wavlm.specs.identity import canonical, key_of


@dataclass(frozen=True)
class Artifact:
    """Base of all artifacts. `format` is bumped when the same fields come to mean other bytes."""

    kind: ClassVar[str]
    format: ClassVar[int] = 1
    # Fields that an identity holds under the name that they had first, so that a renamed field changes no key.
    identity_names: ClassVar[Mapping[str, str]] = {}

    @property
    def name(self) -> str:
        """A readable hint, not identity."""
        raise NotImplementedError

    @cached_property
    def identity(self) -> dict[str, JsonValue]:
        """Everything that the key digests: kind, format, specs without defaults, input keys."""
        return {
            "kind": self.kind,
            "format": self.format,
            **{
                self.identity_names.get(field.name, field.name): canonical(getattr(self, field.name))
                for field in fields(self)
                if getattr(self, field.name) != field.default
            },
        }

    @cached_property
    def key(self) -> str:
        return key_of(self.identity)

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """The artifacts this one is made from, in field order."""
        found: list[Artifact] = []
        for field in fields(self):
            value = getattr(self, field.name)
            found += [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Artifact)]
        return tuple(found)

    @property
    def iteration(self) -> int:
        """1-based iteration that this belongs to; 0 for what all iterations share."""
        return max((item.iteration for item in self.inputs), default=0)

    @property
    def folder(self) -> str:
        return f"{self.kind}/{self.name}-{self.key}"

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True)
class Corpus(Artifact):
    kind: ClassVar[str] = "corpus"
    spec: CorpusSpec

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Shards(Artifact):
    kind: ClassVar[str] = "shards"
    spec: ShardSpec
    corpus: Corpus

    @property
    def name(self) -> str:
        return self.corpus.name


@dataclass(frozen=True)
class Codebook(Artifact):
    kind: ClassVar[str] = "codebook"
    spec: CodebookSpec
    shards: tuple[Shards, ...]
    teacher: Teacher | None = None

    @property
    def name(self) -> str:
        features = self.spec.features
        source = features.type if features.type == "mfcc" else f"layer{features.layer}"
        return f"{source}-k{self.spec.num_clusters}"

    @property
    def iteration(self) -> int:
        return self.teacher.iteration + 1 if self.teacher else 1


@dataclass(frozen=True)
class Labels(Artifact):
    kind: ClassVar[str] = "labels"
    codebook: Codebook
    shards: Shards

    @property
    def name(self) -> str:
        return self.shards.name


@dataclass(frozen=True)
class Mixtures(Artifact):
    kind: ClassVar[str] = "mixtures"
    format: ClassVar[int] = 3  # 2: numbers of SplitMix64, not Philox; 3: what is added is heard, columns of the truth
    spec: MixturesSpec
    mix: MixSpec
    speech: tuple[Shards, ...]
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()

    @property
    def name(self) -> str:
        return self.mix.name


@dataclass(frozen=True)
class Model(Artifact):
    kind: ClassVar[str] = "pretrain"
    # 2: numbers of SplitMix64, not Philox; 3: of equalised masks too; 4: effects clipping and room
    format: ClassVar[int] = 4
    identity_names: ClassVar[Mapping[str, str]] = {"data": "labels"}
    network: NetworkSpec
    train: TrainSpec
    data: tuple[Labels, ...] | tuple[Shards, ...]  # shards alone: for an objective that needs no labels
    mix: MixSpec | None = None
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()
    mixtures: Mixtures | None = None  # validation under noise: its curve is part of the artifact
    start: StartSpec | None = None  # None: random weights

    @property
    def name(self) -> str:
        return f"iteration{self.iteration}"

    @property
    def labels(self) -> tuple[Labels, ...]:
        """The labels among the data; empty if the model is trained on shards alone."""
        return tuple(item for item in self.data if isinstance(item, Labels))

    @property
    def shards(self) -> tuple[Shards, ...]:
        """The speech that the model is trained on, labelled or not."""
        return tuple(item.shards if isinstance(item, Labels) else item for item in self.data)

    @property
    def codebook(self) -> Codebook | None:
        """What the labels come from, if there are labels."""
        return self.labels[0].codebook if self.labels else None


# A model whose layers a codebook clusters. Today it is the model of the iteration before.
Teacher: TypeAlias = Model


@dataclass(frozen=True)
class Scores(Artifact):
    kind: ClassVar[str] = "scores"
    spec: ScoresSpec
    model: Model
    shards: tuple[Shards, ...]

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True)
class Export(Artifact):
    """Hugging Face folder, fairseq-layout file and model card of one model."""

    kind: ClassVar[str] = "export"
    model: Model

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True)
class Registration(Artifact):
    """A version of a registered model; complete once the registry has confirmed it."""

    kind: ClassVar[str] = "register"
    registry_name: str
    model: Model

    @property
    def name(self) -> str:
        return f"{self.registry_name.lower()}-{self.model.name}"


# In pipeline order.
Kind = Literal[
    "corpus",
    "shards",
    "codebook",
    "labels",
    "mixtures",
    "pretrain",
    "scores",
    "export",
    "register",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


def lineage(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """The artifacts and all that they are made from, inputs first, each once."""
    seen: set[str] = set()

    def visit(artifact: Artifact) -> Iterator[Artifact]:
        if artifact.key in seen:
            return
        seen.add(artifact.key)
        for item in artifact.inputs:
            yield from visit(item)
        yield artifact

    for artifact in artifacts:
        yield from visit(artifact)
