"""Specs of tasks about pairs and turns: query by example, speaker diarization. `speakers` has verification."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Natural, NonNegative, Positive, Probability, Spec

Share = Annotated[float, Field(gt=0, lt=1)]


class QueryByExample(Spec):
    """QbE: which documents hold a spoken query. Nothing is trained: frames are compared by time warping. Score: MTWV.

    The state of the model that is best on the dev queries is tested.
    """

    heads: ClassVar[tuple[str, ...]] = ("none",)

    type: Literal["qbe"]
    """Selects query by example."""

    answers: Literal["trials", "words", "classes"] = "trials"
    """Where queries, documents and answers come from.

    `trials`: the lists of trials of the corpora: a query, a document, and whether it holds the query. `words`: texts: a
    query is a recording of at most `max_query_words` words, all others are documents. `classes`: the classes of
    recordings of one word: each recording is a query, and the recordings of other speakers are its documents.

    Change: as the corpus says which recordings hold a query.
    """

    max_query_words: Count = 1
    """Longest query that is made of texts.

    Unit: words.
    Change: lower it where long prompts are no queries.
    """

    distance: Literal["cosine_exp", "cosine"] = "cosine_exp"
    """How two frames differ: 1 - cosine, or exp(1 - cosine) - 1.

    Source: s3prl, downstream/quesst14_dtw/config.yaml: cosine_exp.
    Change: as the published recipe says.
    """

    min_query_frames: Count = 5
    """A shorter query finds nothing: all its documents have one score.

    Unit: frames.
    Source: s3prl, downstream/quesst14_dtw/expert.py.
    Change: lower it for short words.
    """

    decision_deviations: float = 2.0
    """A document is said to hold a query where its score is so many deviations above the mean of the query's scores.

    Source: s3prl, downstream/quesst14_dtw/expert.py: 2. It decides ATWV, the second figure, alone.
    Change: as the published recipe says.
    """

    max_documents: Count | None = None
    """At most so many documents, chosen by their keys. Not given: all.

    Unit: documents.
    Change: to save time. Answers in documents that were left out do not count.
    """


class ConversationSpec(Spec):
    """Conversations that are made of single utterances: who speaks when is known by construction.

    The speakers of the corpora are dealt to the parts `made-train`, `made-dev` and `made-test` first. In a conversation
    one utterance follows another, after a pause or before the last one has ended. Of utterances only stretches with
    sound count as speech.
    """

    train: Natural = 400
    """Conversations of the part `made-train`.

    Unit: conversations.
    Change: more for a trained head that generalises, fewer for a quick look.
    """

    dev: Natural = 40
    """Conversations of the part `made-dev`.

    Unit: conversations.
    Change: more for a surer choice.
    """

    test: Natural = 80
    """Conversations of the part `made-test`. 0 where real ones are the test part: its speakers join the training then.

    Unit: conversations.
    Change: more for a narrower interval.
    """

    dev_speakers: Share = 0.2
    """Share of the speakers that only conversations of the part `made-dev` have.

    Unit: fraction of the speakers.
    Change: larger where there are many speakers.
    """

    test_speakers: Share = 0.2
    """Share of the speakers that only conversations of the part `made-test` have.

    Unit: fraction of the speakers.
    Change: larger where there are many speakers.
    """

    speakers: tuple[Count, Count] = (2, 2)
    """Fewest and most speakers of a conversation.

    Unit: speakers.
    Change: three to see more overlap.
    """

    seconds: Positive = 10.0
    """A conversation ends with the utterance in which it becomes so long.

    Unit: seconds.
    Source: mixtures of Libri2Mix last about 14 s.
    Change: as long as the recordings that are diarized afterwards.
    """

    turn_seconds: Positive = 4.0
    """Of longer recordings a random stretch of so much is taken.

    Unit: seconds.
    Change: to the turns of the speech that you care about.
    """

    overlap: Probability = 0.5
    """Share of the utterances that begin before the last one has ended. The results say how many seconds overlap.

    Unit: fraction of the utterances.
    Change: 0 for turns that never overlap, which need no model that was trained on mixtures.
    """

    pause_seconds: NonNegative = 0.5
    """Mean pause between utterances that do not overlap; exponentially distributed.

    Unit: seconds.
    Change: to the pauses of the speech that you care about.
    """

    level_db: NonNegative = 3.0
    """Speakers are brought to one level first, then each is changed by up to so much, up or down.

    Unit: dB.
    Change: wider where microphones are at different distances.
    """

    seed: Natural = 0
    """Seed of all draws.

    Change: for other conversations of the same speakers.
    """

    @model_validator(mode="after")
    def _check_speakers(self) -> ConversationSpec:
        if self.speakers[0] > self.speakers[1]:
            raise FieldError(f"fewest {self.speakers[0]} is above most {self.speakers[1]}", "speakers")
        return self


class SpeakerDiarization(Spec):
    """SD: who speaks when, overlaps included. Target: `turns`. Score: DER, all of it, without the usual discounts.

    Recordings without turns that others name as sources are left out.
    """

    heads: ClassVar[tuple[str, ...]] = ("diarizer", "eend_eda", "sc_eend", "eend_vc", "eend_gla")

    type: Literal["sd"]
    """Selects speaker diarization."""

    speakers: Annotated[int, Field(ge=1, le=6)] = 2
    """Speakers that the head `diarizer` can tell apart; other heads have numbers of their own.

    Further ones of a test recording are missed; training refuses them.
    Unit: speakers.
    Source: SUPERB, 2. The loss of that head tries all orders of them: 24 for 4, 720 for 6.
    Change: to the most that speak in a recording.
    """

    names: Literal["everywhere", "recording"] = "everywhere"
    """Whether a name of the turns is one speaker in all recordings, or in its recording alone.

    Heads that know the speakers of training (`eend_vc`) take a name for one voice.
    Change: recording where calls name their speakers A and B.
    """

    chunk_frames: Count = 2000
    """Each update takes a random stretch of so many frames of a recording at most; dev and test take all of it.

    Unit: frames.
    Source: s3prl, downstream/diarization/config.yaml: chunk_size 2000, cut from the samples.
    Change: lower it to train on long recordings with little memory.
    """

    collar_seconds: NonNegative = 0.0
    """What is not scored on *each* side of a boundary of the reference. Other tools count both sides together.

    Unit: seconds.
    Source: SUPERB scores everything: 0. CALLHOME's tables have 0.25.
    Change: 0.25 to compare with figures that leave the edges of turns out.
    """

    thresholds: tuple[Share, ...] = Field((0.3, 0.4, 0.5, 0.6, 0.7), min_length=1)
    """A speaker speaks in a frame whose probability is above this. The one that is best on the dev part is tested.

    Source: s3prl, downstream/diarization/score.sh.
    Change: more of them where the dev part is large.
    """

    medians: tuple[Count, ...] = Field((1, 11), min_length=1)
    """Odd widths of the median filter over the frames that were decided; chosen with the threshold.

    Unit: frames.
    Source: s3prl, downstream/diarization/score.sh.
    Change: more of them where the dev part is large.
    """

    conversations: ConversationSpec | None = None
    """Conversations made of the recordings that have no turns. Not given: none are made.

    Change: give it (`{}` for the defaults) for corpora of single utterances with known speakers.
    """

    @model_validator(mode="after")
    def _check_conversations(self) -> SpeakerDiarization:
        if self.conversations and self.conversations.speakers[1] > self.speakers:
            raise FieldError(
                f"conversations have up to {self.conversations.speakers[1]} speakers, the head has {self.speakers}",
                *("conversations", "speakers"),
            )
        if even := [width for width in self.medians if width % 2 == 0]:
            raise FieldError(f"{even[0]} is even, a median filter has a middle", "medians")
        return self
