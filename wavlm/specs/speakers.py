"""Specs of speaker verification: the task, how its trials are scored, and ECAPA-TDNN with its loss."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Natural, NonNegative, Positive, Spec

Share = Annotated[float, Field(gt=0, lt=1)]
Margin = Annotated[float, Field(ge=0, lt=1.5)]  # an angle in radians, less than a right one
Speed = Annotated[float, Field(ge=0.5, le=2.0)]


class TrialScoring(Spec):
    """What is learned to score trials with, from training voices: a mean, a cohort, a calibration."""

    cohort: Annotated[int, Field(ge=2)] = 300
    """AS-norm compares each side of a trial with the so many training voices that are nearest to it.

    Unit: voices; all of them where there are fewer.
    Source: 300 of VoxCeleb2's 5,994 voices, wespeaker examples/voxceleb/v2.
    Change: smaller for few training voices.
    """

    per_speaker: Count | None = None
    """A training voice is the mean embedding of so many of its recordings at most, chosen by key. Not given: of all.

    Unit: recordings per speaker.
    Change: to save time: each is embedded once more after training.
    """

    calibration: Literal["train", "dev", "none"] = "train"
    """Whose trials the calibration (QMF) learns from: of training voices, of the dev part's voices, or none.

    Source: wespeaker and the authors use training voices, of which there are thousands.
    Change: `dev` where there are few training voices: a network knows those too well.
    """

    calibration_trials: Annotated[int, Field(ge=2)] = 30_000
    """So many trials are made by rule for that, at most; half of one speaker.

    Unit: trials.
    Source: wespeaker, tools/generate_calibration_trial.py.
    Change: rarely.
    """

    longest_seconds: Positive = 20.0
    """A longer recording counts as so long in the calibration.

    Unit: seconds.
    Source: wespeaker, local/score_calibration.sh: max_dur 20.
    Change: rarely.
    """


class SpeakerVerification(Spec):
    """ASV: whether two recordings are of one voice. Target: the speaker, and trials. Score: EER, then minDCF.

    The head learns the speakers of the train part. Trials compare its embeddings by their cosine.
    """

    heads: ClassVar[tuple[str, ...]] = ("xvector", "ecapa")

    type: Literal["asv"]
    """Selects speaker verification."""

    trials: str = ""
    """Name of the list of trials that the test part is scored on, such as `vox1-o`. Empty: trials are made by rule.

    The rule, which the dev part always has: all pairs of recordings, or `max_trials` of them, drawn with a fixed seed,
    of which half are of one speaker as far as there are so many.
    Change: give it where the publisher has a list.
    """

    more_trials: tuple[str, ...] = ()
    """Further lists of trials of the test part. Their figures have the name of the list, as `eer_vox1-h-cleaned`.

    Change: to score Vox1-O, E and H, as published first and cleaned, with one training.
    """

    max_trials: Annotated[int, Field(ge=2)] = 20_000
    """At most so many trials are made by rule.

    Unit: trials.
    Change: higher where a figure below 1 % has to be told apart from another one.
    """

    chunk_seconds: Positive = 8.0
    """Each update takes a random stretch of so much of a recording; dev and test take all of it.

    The stretch is cut from the frames of the whole recording, so that frames are computed once.
    Unit: seconds.
    Source: SUPERB, 8 s, cut from the samples (s3prl, downstream/sv_voxceleb1: max_timestep).
    Change: shorter where recordings are short.
    """

    min_train_seconds: NonNegative = 2.0
    """Shorter recordings are not trained on.

    Unit: seconds.
    Source: SUPERB, 2 s after silence was removed (s3prl, downstream/sv_voxceleb1: min_sec); here none is removed.
    Change: 0 for a corpus of single words.
    """

    speeds: tuple[Speed, ...] = ()
    """Each training recording is there once more at each of these speeds, as a recording of another voice.

    A tape that runs faster has a higher pitch: another speaker, so there are more classes.
    Source: Yamamoto et al. 2019; 0.9 and 1.1 in wespeaker and in the VoxSRC systems that came after.
    Change: [0.9, 1.1] for a system; the time of training and of features grows with it.
    """

    scoring: TrialScoring | None = None
    """AS-norm and calibration, as figures beside that of the cosines. Not given: the cosines of raw embeddings alone.

    With it, the mean of the training embeddings is subtracted from all embeddings first.
    Change: give it (`{}` for the published values) for a system; SUPERB has none.
    """

    p_target: Share = 0.05
    """Share of trials of one speaker that minDCF assumes; both costs are 1.

    Source: NIST SRE 2018 evaluation plan (0.05 for audio from video); VoxSRC.
    Change: as the evaluation plan says that you compare with.
    """

    best_on_test: bool = True
    """True: the best EER on the test part of all heads that were scored on the dev part is reported, too.

    Source: SUPERB's reference does so, as VoxCeleb1 has no dev part (s3prl, downstream/docs/superb.md). The figure
    compares with published ones; the first one is the honest one.
    Change: false where only own figures are compared.
    """

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of trials that are scored, the first one first; none where trials are made by rule."""
        return (self.trials, *self.more_trials) if self.trials else ()

    @model_validator(mode="after")
    def _check_lists(self) -> SpeakerVerification:
        if self.more_trials and not self.trials:
            raise FieldError("there are further lists of trials, but no first one: name it in trials", "more_trials")
        if twice := sorted({name for name in self.lists if self.lists.count(name) > 1}):
            raise FieldError(f"the list {', '.join(twice)} is named twice", "more_trials")
        if 1.0 in self.speeds or len(set(self.speeds)) < len(self.speeds):
            raise FieldError(
                f"found {', '.join(map(str, self.speeds))}, expected each speed once, and not 1, which is always there",
                "speeds",
            )
        return self


class AngularMarginLoss(Spec):
    """AAM-softmax: the angle to the right speaker counts as larger than it is, by a margin that may grow."""

    scale: Positive = 32.0
    """Scale of the cosines.

    Source: 32 in the authors' recipe and in wespeaker.
    Change: with the margin, as another recipe says.
    """

    margin: tuple[tuple[Natural, Margin], ...] = Field(((0, 0.2),), min_length=1)
    """The margin over the updates: points of update and margin, with lines between them.

    Unit: updates (of the stage), radians.
    Source: 0 for the first epochs, then up to 0.2; 0.5 in a last stage on longer stretches (large-margin fine-tuning,
    Thienpondt et al. 2021).
    Change: begin with 0, or large margins keep the first updates from learning anything.
    """

    rise: Literal["linear", "exponential"] = "linear"
    """How the margin goes from point to point. `exponential`: fast first, as 1 - 0.001^share.

    Source: wespeaker, utils/schedulers.py: MarginScheduler.
    Change: as the recipe says that you follow.
    """

    top_k: Natural = 0
    """Inter-top-k: the so many wrong speakers that are nearest count as nearer than they are. 0: none.

    Source: Zhao et al. 2021, arXiv 2110.05042; 5 in the authors' recipe and in wespeaker.
    Change: 5 for thousands of speakers.
    """

    penalty: tuple[tuple[Natural, Margin], ...] = Field(((0, 0.0),), min_length=1)
    """By how much nearer, over the updates: points as in `margin`.

    Unit: updates (of the stage), radians.
    Source: 0.1 in the authors' recipe; 0.06 in wespeaker, where it grows with the margin; 0 in the last stage.
    Change: needs `top_k`.
    """

    sub_centers: Count = 1
    """Centres per speaker, of which the nearest one counts: noisy recordings find one of their own.

    Source: Deng et al. 2020, Sub-center ArcFace; 3 in wespeaker.
    Change: 3 for data from the web whose speakers may be wrong.
    """

    @model_validator(mode="after")
    def _check_points(self) -> AngularMarginLoss:
        for name, points in (("margin", self.margin), ("penalty", self.penalty)):
            updates = [update for update, _ in points]
            if updates != sorted(set(updates)):
                raise FieldError(f"found the updates {', '.join(map(str, updates))}, expected them to rise", name)
        if any(value for _, value in self.penalty) and not self.top_k:
            raise FieldError("a penalty is for the nearest wrong speakers: say how many in top_k", "penalty")
        return self


class EcapaHead(Spec):
    """Weighted sum, instance norm, ECAPA-TDNN (Desplanques et al. 2020), an embedding; with AAM-softmax."""

    type: Literal["ecapa"]
    """Selects this head. Defaults are the small one of WavLM's authors."""

    channels: Count = 512
    """Width of the first layer and of the three SE-Res2Blocks; a multiple of `groups`.

    Unit: channels.
    Source: UniSpeech, downstreams/speaker_verification: ECAPA_TDNN_SMALL.
    Change: 1024 for the large one; smaller for a quick look.
    """

    groups: Annotated[int, Field(ge=2)] = 8
    """Groups of a Res2 layer, of which each sees the one before it.

    Source: Res2Net scale 8, as the authors.
    Change: with a width that it divides.
    """

    squeeze: Count = 128
    """Width inside of squeeze and excitation.

    Unit: channels.
    Source: 128, as the authors.
    Change: smaller for a narrow head.
    """

    pooled: Count = 1536
    """Width of what is pooled over time.

    Unit: channels.
    Source: 1536, as the authors.
    Change: smaller for a narrow head.
    """

    attention: Count = 128
    """Width inside of the attention that weighs frames.

    Unit: channels.
    Source: 128, as the authors.
    Change: smaller for a narrow head.
    """

    embedding: Count = 256
    """Width of the embedding.

    Unit: channels.
    Source: 256, as the authors; 192 in Desplanques et al. and wespeaker.
    Change: smaller for few speakers.
    """

    input_channels: Count | None = None
    """Only the first so many channels of the input are read. Not given: all.

    Unit: channels.
    Change: 80 for filter banks without their differences, as in the published FBANK rows.
    """

    loss: AngularMarginLoss = AngularMarginLoss()
    """What the embedding is trained with.

    Change: its margin and penalty, as the published recipe says.
    """

    @model_validator(mode="after")
    def _check_groups(self) -> EcapaHead:
        if self.channels % self.groups:
            raise FieldError(f"{self.groups} groups do not divide the width {self.channels}", "groups")
        return self
