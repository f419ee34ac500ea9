"""What is made: values whose fields are their identity and whose key is their digest.

Constructing an artifact runs nothing and touches no disk. A Model holds its Labels, Labels hold
their Codebook and Shards, so audio and labels that do not belong together cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias, get_args

from wavlm.pipeline.artifact import UNKNOWN, digest_key
from wavlm.pipeline.artifact import Artifact as Artifact  # noqa: PLC0414 - others import it from here
from wavlm.specs import (
    BaselineSpec,
    CodebookSpec,
    CorpusSpec,
    EvaluationSpec,
    FinetuneSpec,
    LabelSource,
    MixSpec,
    MixturesSpec,
    ModelSpec,
    NetworkSpec,
    ScoresSpec,
    ShardSpec,
    SimulationSpec,
    StartSpec,
    TrainSpec,
    name_features,
)
from wavlm.specs.frames import FrameGrid
from wavlm.specs.tasks import WritesTexts


@dataclass(frozen=True)
class Corpus(Artifact):
    kind: ClassVar[str] = "corpus"
    files = (
        *("manifest.parquet", "targets.parquet", "trials.parquet", "history.parquet", "files.parquet"),
        *("archives/*.json", "audio/**"),
    )
    # 2: splits by hashes of names; a folder's content and not its path; 3: a row is a region of a file
    format: ClassVar[int] = 3
    spec: CorpusSpec

    @cached_property
    def is_known(self) -> bool:
        if self.spec.folder is not None:
            return self.spec.folder.content is not None
        return all(source.is_known for source in self.spec.unpinned)

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Shards(Artifact):
    kind: ClassVar[str] = "shards"
    files = ("*.tar", "index.parquet", "shards.json", "rejects.parquet", "parts/*.parquet")
    # 2: pieces without sound are left out; channels, which pieces name; json members whose names have one type each
    # 3: regions of files, languages
    format: ClassVar[int] = 3
    spec: ShardSpec
    corpus: Corpus

    @property
    def name(self) -> str:
        return self.corpus.name


@dataclass(frozen=True)
class ImportedModel(Artifact):
    """A model from elsewhere in this pipeline's own form: a teacher, or the weights that a training starts from."""

    kind: ClassVar[str] = "model"
    # Heads are of systems alone.
    files = ("model.safetensors", "network.json", "lineage.json", "head.safetensors", "head.json")
    spec: ModelSpec
    called: str = field(default="model", compare=False)  # its name in the recipe

    @cached_property
    def is_known(self) -> bool:
        return self.spec.is_known

    @cached_property
    def key(self) -> str:
        """Models that are not known yet have nothing to tell them apart but their names."""
        return digest_key(self.identity) if self.is_known else digest_key([self.identity, self.called], UNKNOWN)

    @property
    def name(self) -> str:
        return self.called


@dataclass(frozen=True)
class Codebook(Artifact):
    kind: ClassVar[str] = "codebook"
    # Of k-means the centroids, of other codebooks the quantizer, of labels that others made these.
    files = ("codebook.json", "centroids.npy", "centroids.faiss", "quantizer.npz", "labels.parquet")
    format: ClassVar[int] = 2  # 2: a share per corpus, and few frames of each of many utterances
    spec: LabelSource
    shards: tuple[Shards, ...]  # what it is fitted on; none for labels that others made
    teacher: Teacher | None = None
    grid: FrameGrid | None = None  # the frames of the network that is to learn its labels; None: 25 ms every 20 ms

    @property
    def name(self) -> str:
        source = name_features(self.spec).lower().replace(" ", "")
        of = f"{self.teacher.name}-" if isinstance(self.teacher, ImportedModel) else ""
        streams = f"{self.spec.num_streams}x" if self.spec.num_streams > 1 else ""
        kind = "" if isinstance(self.spec, CodebookSpec) else f"{self.spec.type.replace('_', '-')}-"
        return f"{of}{kind}{source}-k{streams}{self.spec.num_clusters}"


@dataclass(frozen=True)
class Labels(Artifact):
    kind: ClassVar[str] = "labels"
    files = ("*.parquet", "labels.json", "quality.json", "counts.npz", "quality/*.parquet")
    codebook: Codebook
    shards: Shards

    @property
    def also_read(self) -> tuple[Artifact, ...]:
        return (self.codebook.teacher,) if self.codebook.teacher else ()

    @property
    def name(self) -> str:
        return self.shards.name


@dataclass(frozen=True)
class Mixtures(Artifact):
    kind: ClassVar[str] = "mixtures"
    files = ("*.tar", "index.parquet", "shards.json", "mixtures.tsv", "mixtures.rttm", "listen/*")
    # 2: numbers of SplitMix64, not Philox; 3: json members as in shards, what is added is heard, columns of the truth
    format: ClassVar[int] = 3
    spec: MixturesSpec
    mix: MixSpec
    speech: tuple[Shards, ...]
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()
    grid: FrameGrid | None = None  # the frames of the network that is validated on them, as of a codebook

    @property
    def name(self) -> str:
        return self.mix.name


@dataclass(frozen=True)
class Simulation(Artifact):
    """Conversations made of single utterances, packed as a labelled corpus: who speaks when is known."""

    kind: ClassVar[str] = "simulation"
    files = (
        *("packed.json", "talks/simulation.json", "talks/corpus/*.rttm", "talks/tracks/**", "talks/listen/*"),
        *(f"corpus/{name}" for name in Corpus.files),
        *(f"shards/{name}" for name in Shards.files),
    )
    spec: SimulationSpec
    speech: tuple[Shards, ...]
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Model(Artifact):
    kind: ClassVar[str] = "pretrain"
    files = ("model.safetensors", "network.json", "training.json", "metrics.jsonl", "train.log", "snapshots/*/*")
    # 2: numbers of SplitMix64, not Philox; 3: of equalised masks too; 4: the loss is divided by all frames that it
    # counts, what only changes the curve (mixtures, valid_every, log_every) is no identity, effects clipping and room
    format: ClassVar[int] = 4
    identity_names: ClassVar[Mapping[str, str]] = {"data": "labels"}
    network: NetworkSpec
    train: TrainSpec
    data: tuple[Labels, ...] | tuple[Shards, ...]  # shards alone: for an objective that needs no labels
    mix: MixSpec | None = None
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()
    start: StartSpec | ImportedModel | None = None  # None: random weights
    mixtures: Mixtures | None = field(default=None, compare=False)  # validation under noise: changes the curve alone
    iteration: int = field(default=1, compare=False)  # the place in a recipe, from 1 on

    @property
    def also_read(self) -> tuple[Artifact, ...]:
        return tuple(item.shards for item in self.labels)

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


# A model whose layers a codebook clusters: that of the iteration before, or one from elsewhere.
Teacher: TypeAlias = Model | ImportedModel


@dataclass(frozen=True)
class Scores(Artifact):
    kind: ClassVar[str] = "scores"
    files = ("scores.json", "scores.parquet", "scores.csv", "scores.png")
    # 2: measured on valid speech, where it has phones; 3: ABX, effective rank, cluster quality, tables
    format: ClassVar[int] = 3
    spec: ScoresSpec
    model: Model
    shards: tuple[Shards, ...]

    @property
    def name(self) -> str:
        return self.model.name


def _knows_language_model(spec: EvaluationSpec | FinetuneSpec) -> bool:
    """Whether the digest of the file that decodes is known, if there is one."""
    model = spec.task.language_model_file if isinstance(spec.task, WritesTexts) else None
    return model is None or model.sha256 is not None


@dataclass(frozen=True)
class Evaluation(Artifact):
    """One task, fitted and scored on the states of one frozen model or on a baseline's frames."""

    kind: ClassVar[str] = "evaluation"
    files = ("results.json", "predictions.parquet", "layers.csv", "heads/*.safetensors")
    spec: EvaluationSpec
    subject: Teacher | BaselineSpec
    shards: tuple[Shards, ...]  # of the labelled corpora
    noise: tuple[Shards, ...] = ()
    simulation: Simulation | None = None

    @cached_property
    def is_known(self) -> bool:
        return super().is_known and _knows_language_model(self.spec)

    @property
    def also_read(self) -> tuple[Artifact, ...]:
        return tuple(item.corpus for item in self.shards)

    @property
    def data(self) -> tuple[Shards | Simulation, ...]:
        """All labelled data, in the order in which they are read."""
        return (*self.shards, *((self.simulation,) if self.simulation else ()))

    @property
    def subject_name(self) -> str:
        """The model's name, or the baseline's type."""
        return self.subject.name if isinstance(self.subject, Artifact) else self.subject.type

    @property
    def name(self) -> str:
        return f"{self.spec.name}-{self.subject_name}"


@dataclass(frozen=True)
class Finetune(Artifact):
    """A system: a network and a head that were trained for one task, with what they score on its test part."""

    kind: ClassVar[str] = "finetune"
    files = (
        *("model.safetensors", "network.json", "head.safetensors", "head.json", "finetune.json", "results.json"),
        *("scoring.safetensors", "predictions.parquet", "metrics.jsonl", "train.log", "curves.png", "snapshots/*/*"),
    )
    spec: FinetuneSpec
    subject: Teacher | Finetune | BaselineSpec  # what the system stands on, or the system that it goes on from
    shards: tuple[Shards, ...]  # of the labelled corpora
    noise: tuple[Shards, ...] = ()
    rooms: tuple[Shards, ...] = ()
    simulation: Simulation | None = None

    @cached_property
    def is_known(self) -> bool:
        return super().is_known and _knows_language_model(self.spec)

    @property
    def also_read(self) -> tuple[Artifact, ...]:
        return tuple(item.corpus for item in (*self.shards, *self.noise))

    @property
    def stands_on(self) -> Teacher | BaselineSpec:
        """The model or baseline beneath all systems."""
        return self.subject.stands_on if isinstance(self.subject, Finetune) else self.subject

    @property
    def subject_name(self) -> str:
        """The name of the model or system, or the baseline's type."""
        return self.subject.name if isinstance(self.subject, Artifact) else self.subject.type

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Export(Artifact):
    """Hugging Face folder, fairseq-layout file and model card of one model."""

    kind: ClassVar[str] = "export"
    files = ("hf/*.safetensors", "hf/*.json", "hf/README.md", "fairseq/*.pt")
    format: ClassVar[int] = 2  # 2: names of the weight norm that all versions of transformers know; keys for s3prl
    model: Model

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True)
class Registration(Artifact):
    """A version of a registered model; complete once the registry has confirmed it."""

    kind: ClassVar[str] = "register"
    files = (
        *("registration.json", "gate.json", "lineage.json", "MLmodel", "README.md", "report.html"),
        *("plots/*.png", "evaluations/*/*"),
    )
    format: ClassVar[int] = 2  # 2: the version's folder is others' layout, with the store's model in a folder in it
    registry_name: str
    model: Model

    @property
    def name(self) -> str:
        return f"{self.registry_name.lower()}-{self.model.name}"


@dataclass(frozen=True)
class SystemRegistration(Artifact):
    """A version of a registered system; complete once the registry has confirmed it."""

    kind: ClassVar[str] = "register_system"
    files = ("registration.json", "lineage.json")
    registry_name: str
    system: Finetune

    @property
    def name(self) -> str:
        return self.registry_name.lower()


# In pipeline order.
Kind = Literal[
    "corpus",
    "shards",
    "model",
    "codebook",
    "labels",
    "mixtures",
    "simulation",
    "pretrain",
    "scores",
    "evaluation",
    "finetune",
    "export",
    "register",
    "register_system",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


def keep_latest(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """The artifacts without corpora and shards of which there is a later generation among them."""
    every = list(artifacts)
    last: dict[str, int] = {}
    for item in every:
        if found := generation_of(item):
            last[item.name] = max(found, last.get(item.name, 0))
    return [item for item in every if generation_of(item) in (None, last.get(item.name))]


def generation_of(artifact: Artifact) -> int | None:
    """The generation of a corpus that is a folder, or of its shards; None for others."""
    corpus = artifact.corpus if isinstance(artifact, Shards) else artifact
    source = corpus.spec.folder if isinstance(corpus, Corpus) else None
    return source.generation if source else None


def lineage(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """The artifacts and all that they are made from, inputs first, each once."""
    return _walk(artifacts, lambda artifact: artifact.inputs)


def build_order(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """The artifacts and all that has to be there to make them, what is needed first, each once."""
    return _walk(artifacts, lambda artifact: artifact.needs)


def _walk(artifacts: Iterable[Artifact], edges: Callable[[Artifact], tuple[Artifact, ...]]) -> Iterator[Artifact]:
    seen: set[str] = set()

    def visit(artifact: Artifact) -> Iterator[Artifact]:
        if artifact.key in seen:
            return
        seen.add(artifact.key)
        for item in edges(artifact):
            yield from visit(item)
        yield artifact

    for artifact in artifacts:
        yield from visit(artifact)
