"""What is wanted: frozen, strict models of everything that gives an artifact its identity.

A field here is part of a key. What only changes how something is run (gpus, workers, paths of the
store) lives in `Runtime` and can never be a field of an artifact.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

SAMPLE_RATE_HZ = 16000
HOP_SAMPLES = 320  # product of the seven conv strides: one frame every 20 ms


class Spec(BaseModel):
    """Strict, frozen, refuses unknown fields, infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # Fields that say nothing about what is made: words for people, mirrors of pinned bytes.
    not_identity: ClassVar[frozenset[str]] = frozenset()


# --- corpus ---------------------------------------------------------------------------------------


class HttpsSource(Spec):
    """An archive behind one or more https mirrors, pinned by its publisher's digest.

    Many publishers give only an md5. It finds damage, but not a forger; the sha256 of what was
    fetched is then recorded in the corpus' facts.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls"})

    type: Literal["https"]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    size_bytes: Count | None = None
    format: Literal["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"]

    @model_validator(mode="after")
    def _pinned_once(self) -> HttpsSource:
        if (self.sha256 is None) == (self.md5 is None):
            raise ValueError("exactly one of sha256 and md5 must be given")
        return self


class AptSource(Spec):
    """A Debian package, fetched with apt-get but never installed; no root needed.

    `urls` are the same file in Debian's own pool: another distribution or release has other
    versions, or other bytes under the same version.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"urls"})

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
    root: str = ""


class GenericLayout(Spec):
    """Any tree. `audio` is a glob; `speaker` a regex on the path with a group `speaker`."""

    type: Literal["generic"]
    audio: str = "**/*"
    speaker: str = ""
    transcripts: str = ""  # TSV with a header that names utt_id and text
    phones: str = ""  # TSV with a header that names utt_id, start_s, end_s, phone


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


# --- shards ---------------------------------------------------------------------------------------


class ShardSpec(Spec):
    """How recordings become training utterances."""

    min_seconds: Positive
    max_seconds: Positive  # longer recordings are cut into equal pieces of at most this
    join_seconds: NonNegative = 0.0  # join consecutive clips of one speaker up to this; 0: never
    join_gap_seconds: NonNegative = 0.1  # silence between joined clips
    shard_megabytes: Positive = 256.0
    max_rejected: Probability = 0.01

    @model_validator(mode="after")
    def _ordered(self) -> ShardSpec:
        if self.min_seconds > self.max_seconds:
            raise ValueError(
                f"min_seconds {self.min_seconds} is above max_seconds {self.max_seconds}"
            )
        if self.join_seconds > self.max_seconds:
            raise ValueError(
                f"join_seconds {self.join_seconds} is above max_seconds {self.max_seconds}"
            )
        return self


# --- codebook -------------------------------------------------------------------------------------


class MfccFeatures(Spec):
    """39-d Kaldi MFCC with deltas at 100 Hz (wavlm-spec 11.1)."""

    type: Literal["mfcc"]


class HiddenFeatures(Spec):
    """Raw output of a layer (1-based) of the previous iteration's model at 50 Hz."""

    type: Literal["hidden"]
    layer: Count


Features = Annotated[MfccFeatures | HiddenFeatures, Field(discriminator="type")]


class CodebookSpec(Spec):
    """k-means on a sampled, speaker-balanced, seeded subset."""

    features: Features
    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    sample_frames_per_cluster: Count = 1000
    iterations: Count = 25
    redo: Count = 1
    seed: Natural = 0


# --- mixing ---------------------------------------------------------------------------------------


class EffectSpec(Spec):
    """One audiomentations transform, by name, with its arguments. Off in the paper's recipes."""

    name: Literal[
        "room", "low_pass", "high_pass", "band_pass", "codec", "gain", "gaussian_snr", "clipping"
    ]
    probability: Probability
    minimum: float | None = None  # unit by effect: Hz, dB or share; see wavlm.effects
    maximum: float | None = None


class MixSpec(Spec):
    """Utterance and noise mixing (WavLM Algorithm 1; wavlm-spec 12)."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    probability: Probability
    noise_probability: Probability = 0.0
    speech_ratio_db: tuple[float, float] = (-5.0, 5.0)
    noise_ratio_db: tuple[float, float] = (-5.0, 20.0)
    max_length_fraction: Probability = 0.5
    exclude_self: bool = True
    effects: tuple[EffectSpec, ...] = ()


class MixturesSpec(Spec):
    """The small fixed mixed set: validation under noise and overlap, audible and auditable."""

    num_utterances: Count
    max_seconds: Positive = 15.625
    seed: Natural = 0


# --- network and training -------------------------------------------------------------------------


class ConvLayer(Spec):
    channels: Count
    kernel: Count
    stride: Count


def paper_conv_layers(channels: int = 512) -> tuple[ConvLayer, ...]:
    """The seven convolutions of wavlm-spec section 2."""
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    return tuple(
        ConvLayer(channels=channels, kernel=kernel, stride=stride)
        for kernel, stride in zip(kernels, strides, strict=True)
    )


class NetworkSpec(Spec):
    """The network (wavlm-spec 1-4). Base: group, post-norm; Large: layer, pre-norm."""

    extractor_norm: Literal["group", "layer"]
    norm_first: bool
    normalize_waveform: bool
    conv_layers: tuple[ConvLayer, ...] = paper_conv_layers()
    conv_bias: bool = False
    width: Count
    ffn_width: Count
    num_layers: Count
    num_heads: Count
    position_kernel: Count = 128
    position_groups: Count = 16
    gated_bias: bool = True  # False: HuBERT, no relative position bias at all
    num_buckets: Annotated[int, Field(ge=4, multiple_of=2)] = 320
    max_distance: Count = 800
    dropout: Probability = 0.1
    attention_dropout: Probability = 0.1
    activation_dropout: Probability = 0.0
    input_dropout: Probability = 0.1
    layer_drop: Probability = 0.05
    feature_grad_mult: Probability = 0.1
    projection_width: Count = 256
    special_symbols: Literal[0, 4] = 0  # 4: fairseq's dictionary rows, never targets

    @model_validator(mode="after")
    def _divisible(self) -> NetworkSpec:
        for what, divisor in (
            ("num_heads", self.num_heads),
            ("position_groups", self.position_groups),
        ):
            if self.width % divisor:
                raise ValueError(f"width {self.width} is not divisible by {what} {divisor}")
        return self


class MaskSpec(Spec):
    """Span masking of frames (wavlm-spec 6)."""

    probability: Probability = 0.8
    length: Count = 10
    min_spans: Natural = 2
    equalise: bool = False  # True: fairseq's per-batch equalisation, for parity only


class TrainSpec(Spec):
    """Optimisation (wavlm-spec 7, 9, 10). Seconds are seconds of audio.

    One update is batch_seconds / group_seconds groups. A group is what the paper calls a GPU's
    batch: its utterances are cropped to the shortest and mix with each other. Which GPU computes
    which group is Runtime's business and changes nothing but the order of sums.
    """

    updates: Count
    warmup_updates: Natural
    peak_lr: Positive
    batch_seconds: Positive
    group_seconds: Positive
    max_crop_seconds: Positive = 15.625
    adam_betas: tuple[Probability, Probability] = (0.9, 0.98)
    adam_eps: Positive = 1e-6
    weight_decay: NonNegative = 0.01
    clip_norm: Positive = 10.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    mask: MaskSpec = MaskSpec()
    logit_temperature: Positive = 0.1
    masked_weight: NonNegative = 1.0
    unmasked_weight: NonNegative = 0.0
    feature_penalty: NonNegative = 10.0
    valid_every: Count = 1000  # updates; part of identity because curves are part of the artifact
    log_every: Count = 50
    seed: Natural = 0

    @property
    def groups_per_update(self) -> int:
        return max(1, round(self.batch_seconds / self.group_seconds))

    @model_validator(mode="after")
    def _consistent(self) -> TrainSpec:
        if self.warmup_updates > self.updates:
            raise ValueError(
                f"warmup_updates {self.warmup_updates} is above updates {self.updates}"
            )
        if self.group_seconds > self.batch_seconds:
            raise ValueError(
                f"group_seconds {self.group_seconds} is above batch_seconds {self.batch_seconds}"
            )
        return self


# --- recipe ---------------------------------------------------------------------------------------


class GateSpec(Spec):
    """When a new version becomes `champion`: better than the current one by this metric."""

    metric: Literal["valid/loss", "valid/masked_accuracy", "labels/pnmi", "probe/pnmi"]
    higher_is_better: bool
    min_improvement: NonNegative = 0.0


class ProbeSpec(Spec):
    """Layer-wise label quality: k-means on each layer against MFCC, same frames, same K."""

    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    layers: tuple[Count, ...] = ()  # empty: every layer
    max_utterances: Count = 400
    seed: Natural = 0


class IterationSpec(Spec):
    """One round of clustering and pre-training."""

    codebook: CodebookSpec
    network: NetworkSpec
    train: TrainSpec
    mix: MixSpec | None = None  # in YAML: the name of a file of data_specs/mixes
    speech: tuple[Name, ...] = ()  # names out of the recipe's speech corpora; empty: all of them


class Recipe(Spec):
    """A whole model, from corpora to registry.

    In a recipe file corpora and mixes are names of files of data_specs; `recipe.read_recipe`
    replaces each by its content.
    """

    name: Name
    description: str
    registry_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    speech: tuple[CorpusSpec, ...] = Field(min_length=1)
    noise: tuple[CorpusSpec, ...] = ()
    rooms: tuple[CorpusSpec, ...] = ()
    shards: ShardSpec
    noise_shards: ShardSpec | None = None
    mixtures: MixturesSpec | None = None
    iterations: tuple[IterationSpec, ...] = Field(min_length=1)
    probe: ProbeSpec | None = None
    gate: GateSpec | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        names = [corpus.name for corpus in (*self.speech, *self.noise, *self.rooms)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"corpora named twice: {', '.join(twice)}")
        speech = {corpus.name for corpus in self.speech}
        for number, iteration in enumerate(self.iterations, 1):
            if unknown := sorted(set(iteration.speech) - speech):
                raise ValueError(
                    f"iteration {number} trains on {', '.join(unknown)}, not among the recipe's "
                    f"speech corpora {', '.join(sorted(speech))}"
                )
            if number == 1 and iteration.codebook.features.type == "hidden":
                raise ValueError("iteration 1 has no previous model whose layer could be clustered")
            if iteration.mix and iteration.mix.noise_probability > 0 and not self.noise:
                raise ValueError(f"iteration {number} mixes in noise, but the recipe lists none")
        return self


class Runtime(BaseModel):
    """How to run, never what to make. Not hashed, not part of any artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    workers: Natural = 2  # processes for shards, labels and (a rank) loading; 0: none but this one
    gpus: Natural = 0  # 0: train on the CPU with `processes` gloo ranks
    processes: Count = 1
    threads: Natural = 0  # torch threads a rank; 0: cores / ranks
    snapshot_every: Natural = 0  # updates; 0: every five minutes
    keep_snapshots: Count = 2
    compile: bool = False
    checkpoint_activations: bool = False
    tracking: bool = True  # False: no MLflow while training; `wavlm sync` uploads later
