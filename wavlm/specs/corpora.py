"""Corpus specs: what a corpus is, where it comes from, how it is laid out, its licence and its validation split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from wavlm.specs.access import AccessSpec
from wavlm.specs.base import Count, FieldError, Name, NonNegative, Probability, Spec
from wavlm.specs.layouts import TARGET_FIELDS, Layout
from wavlm.specs.series import expand_sources
from wavlm.specs.sources import FolderSource, HttpsSource, Source


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
        {
            "access",
            "citation",
            "description",
            "expected_hours",
            "gated",
            "homepage",
            "keep",
            "license",
            "max_left_out",
            "published_gigabytes",
        }
    )

    name: Name
    """Name of the corpus, and of its file without `.yaml`. Recipes use this name."""

    role: Literal["speech", "noise", "room", "evaluation"]
    """What the corpus holds: speech to train on, noise to add, room impulse responses, or what models are scored on.

    All of a corpus for evaluations is held out, its publisher's test set too, and no recipe can train on it. Only such
    a corpus keeps partitions, targets and trials.
    """

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

    published_gigabytes: NonNegative = 0.0
    """Size of all archives as the publisher says it, where the sizes of single ones are not known.

    `wavlm plan --cost` calculates with it. Unit: gigabytes (10^9 bytes). 0: unknown.
    Source: the publisher's page.
    Change: give it where sources have neither `size_bytes` nor `published_gigabytes`. It does not change the key.
    """

    gated: bool = False
    """True: the publisher asks for an agreement first. Then the source must be a folder, or `access` must be given.

    Change: set it when you describe such a corpus.
    """

    access: AccessSpec | None = None
    """Which environment variables hold the agreement, the token and the password that downloads need.

    Change: give it to download a gated corpus once you have its publisher's agreement.
    """

    keep: Literal["none", "archives", "files"] | None = None
    """What `wavlm gc` keeps of this corpus once its shards are complete. Not given: what `keep` of the recipe says.

    `none`: neither archives nor audio. `archives`: the archives. `files`: the unpacked audio. With `none` and
    `archives` the audio of plain tars is never unpacked: shards are packed from the tars. All bytes are the same.
    Change: `none` for a corpus that is large and can be downloaded again.
    """

    @field_validator("sources", mode="after")
    @classmethod
    def _expand_numbers(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return expand_sources(sources)

    @property
    def unpinned(self) -> tuple[HttpsSource, ...]:
        """The archives whose publisher gives no digest."""
        archives = (item for item in self.sources if isinstance(item, HttpsSource))
        return tuple(item for item in archives if item.digest_from == "first-download")

    @model_validator(mode="after")
    def _check_role(self) -> CorpusSpec:
        if self.role == "evaluation":
            for name in ("valid_speakers", "valid_rule"):
                if getattr(self, name):
                    raise FieldError("all of a corpus for evaluations is held out: its parts are the publisher's", name)
        elif given := [name for name in TARGET_FIELDS if getattr(self.layout, name, "")]:
            raise FieldError(
                f"only a corpus of the role evaluation keeps targets, this one has the role {self.role}",
                *("layout", given[0]),
            )
        return self

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
