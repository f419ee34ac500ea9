"""What the stages codebook and labels report, and the readers of `codebook.json` and `labels.json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from wavlm.errors import BadDataError
from wavlm.specs import Features
from wavlm.specs.frames import FrameGrid
from wavlm.storage.facts import Facts, read_facts


class Fit(Facts):
    """How the frames of a sample use the clusters of a codebook."""

    num_frames: int
    inertia_per_frame: float  # mean squared Euclidean distance to the nearest centroid
    used_clusters: int
    empty_clusters: int
    entropy_bits: float  # of the share of each cluster
    perplexity: float  # 2 ** entropy_bits


class CorpusShare(Facts):
    """What one corpus gave to the sample of a codebook."""

    corpus: str
    hours: float  # of its train split
    utterances: int  # sampled ones
    speakers: int  # of the sampled utterances; an utterance of an unknown speaker counts as one
    frames: int


class LanguageShare(CorpusShare):
    """What one language of one corpus gave to the sample of a codebook."""

    language: str  # `unknown` if it is not known


class CodebookFacts(Facts):
    """The facts of a codebook. `codebook.json` holds the same fields."""

    type: str = "kmeans"  # that of the spec
    num_streams: int = 1
    features: Features | None  # None: labels that others made
    num_clusters: int  # of each stream
    num_channels: int
    label_rate_hz: int | float
    grid: FrameGrid | None = None  # of the network that is to learn the labels; None: 25 ms every 20 ms
    sample_utterances: int  # utterances and speakers that the sampled frames come from
    sample_speakers: int
    shares: tuple[CorpusShare, ...] = ()  # the sample by corpus, in the order of the artifact's shards
    languages: tuple[LanguageShare, ...] = ()  # the same by corpus and language, where shares are by language
    copies_of_valid: int = 0  # utterances of train that are left out: their content is in a valid split
    inertia_per_iteration: tuple[float, ...]
    # Of several codebooks that add up: squared error of held-out frames with the first, the first two, ... of them, as
    # a share of their variance.
    stream_errors: tuple[float, ...] = ()
    train: Fit  # of the first stream
    valid: Fit | None  # None: no corpus has a valid split
    sha256: str  # of centroids.npy, or of quantizer.npz or labels.parquet


class Quality(Facts):
    """How well labels agree with phones, over the frames that lie in a phone. All shares are in 0..1."""

    phone_purity: float  # share of frames whose phone is the most frequent one of their cluster
    cluster_purity: float  # share of frames whose cluster is the most frequent one of their phone
    pnmi: float  # I(phone; label) / H(phone): share of the phone entropy that the label explains
    num_frames: int


class LabelsFacts(Facts):
    """The facts of the labels of one corpus. `labels.json` holds the same fields and the sha256 of each file."""

    device: str  # "cpu" or "cuda": rounding differs, so a frame between two centroids may get another label
    num_utterances: int
    num_labels: int  # of each stream
    label_rate_hz: int | float
    num_clusters: int  # of each stream
    used_clusters: int  # this and what follows are of the first stream
    entropy_bits: float  # of the share of each cluster
    largest_share: float
    repeated_share: float  # share of frames with the label of the frame before
    quality: Quality | None  # None: no utterance has phones
    files_reused: int = 0  # files of labels that were taken over from another generation; not in `labels.json`
    num_streams: int = 1
    stream_entropy_bits: tuple[float, ...] = ()  # of each of several streams
    joint_pnmi: float | None = None  # PNMI of the labels of all streams together, if there are several
    quality_by_language: dict[str, Quality] = Field(default_factory=dict)  # if the language of any is known


def without_name(features: Features) -> Features:
    """Features without the name that a recipe gives their model: what is made of them is the same under any name."""
    return features.model_copy(update={"model": None}) if features.type == "hidden" else features


# Facts of streams, which files about one stream do not have: these stay as they were.
OF_STREAMS = frozenset({"num_streams", "stream_entropy_bits", "joint_pnmi", "type", "stream_errors"})


# Facts of frames that are not 25 ms every 20 ms, which other files do not have.
OF_GRIDS = frozenset({"grid"})


def find_grid(grid: FrameGrid | None, sample_rate_hz: int, where: Path) -> FrameGrid:
    """The frames of labels of audio at this rate: those of a codebook, or 25 ms every 20 ms if it names none.

    Raises BadDataError (SAMPLE_RATE) for a codebook of audio of another rate.
    """
    if grid is None:
        return FrameGrid.standard(sample_rate_hz)
    if grid.sample_rate_hz != sample_rate_hz:
        raise BadDataError(
            "SAMPLE_RATE",
            f"found shards of {sample_rate_hz} Hz, expected {grid.sample_rate_hz} Hz, for {grid}; at {where}; give "
            "shards and network one `sample_rate_hz`",
        )
    return grid


def codebook_path(codebook_dir: Path) -> Path:
    """The path of the facts in a codebook folder."""
    return codebook_dir / "codebook.json"


def read_codebook(codebook_dir: Path) -> CodebookFacts:
    """The facts of a codebook folder; raises BadDataError, naming the field, if `codebook.json` is broken.

    The centroids are compared with their sha256 where they are read: `wavlm.labels.centroids.read_centroids`.
    """
    return read_facts(codebook_path(codebook_dir), CodebookFacts)


def labels_path(labels_dir: Path) -> Path:
    """The path of the facts in a labels folder. It is written last, so a folder that has it is complete."""
    return labels_dir / "labels.json"


def read_labels_facts(labels_dir: Path) -> LabelsFacts:
    """The facts of a labels folder; raises BadDataError, naming the field, if `labels.json` is broken."""
    return read_facts(labels_path(labels_dir), LabelsFacts)
