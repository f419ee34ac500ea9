"""Text of recordings by a trained recogniser, greedy or with a language model, and the recogniser for transformers.

Legend: N samples.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wavlm.errors import UsageError
from wavlm.evaluation.decoding.lexicon import LexiconDecoder
from wavlm.evaluation.decoding.predictions import LEXICON, read_symbols
from wavlm.evaluation.heads.ctc import LastState
from wavlm.evaluation.tasks.letters import make_decoder
from wavlm.evaluation.tasks.recogniser import Recogniser
from wavlm.export.ctc import LetterLayer, write_ctc
from wavlm.features.mfcc import Floats
from wavlm.finetune.load import LoadedSystem, load_system
from wavlm.specs.decoders import ArpaModel, LexiconDecoderSpec
from wavlm.specs.tasks import WritesTexts


def transcribe(system: LoadedSystem | Path | str, waveform: Floats, decoder: LexiconDecoder | None = None) -> str:
    """The text of a waveform (N,) at 16 kHz. system: from `load_system`, or its folder, which is read each time then.

    decoder: from `load_decoder`; None: the likeliest letter of each frame.
    Raises UsageError (SYSTEM_TASK) for a system of another task.
    """
    found = system if isinstance(system, LoadedSystem) else load_system(system)
    trainee, _ = _recogniser_of(found)
    prediction = replace(found, trainee=replace(trainee, decoder=decoder)).predict(waveform)
    return "".join(read_symbols(prediction, LEXICON) if decoder else read_symbols(prediction))


def load_decoder(
    system: LoadedSystem, language_model: Path | str, words: str = "", settings: LexiconDecoderSpec | None = None
) -> LexiconDecoder:
    """A decoder for a system: the words of an n-gram language model, an ARPA file or a binary file of KenLM.

    words: a list of the words of a binary file. settings: weights and beam; None: the published ones.
    Raises UsageError (SYSTEM_TASK, LM_MISSING), BadDataError (LM_MISFIT, LM_UNREADABLE).
    """
    trainee, task = _recogniser_of(system)
    model = ArpaModel(type="arpa", path=str(language_model), words=words)
    spec = settings or LexiconDecoderSpec(type="lexicon", language_model=model)
    return make_decoder(task, spec.model_copy(update={"language_model": model}), trainee.symbols, ())


def export_recogniser(system: LoadedSystem | Path | str, folder: Path | str) -> Path:
    """Write a recogniser with the head `ctc` as a folder for transformers' WavLMForCTC; returns the folder.

    Files of these names are replaced. Raises UsageError (SYSTEM_TASK, ALPHABET_BAD).
    """
    found = system if isinstance(system, LoadedSystem) else load_system(system, device="cpu")
    trainee, _ = _recogniser_of(found)
    head, network, out = found.system.head, found.system.network, Path(folder)
    if not isinstance(head, LastState) or network is None:
        raise UsageError(
            "SYSTEM_TASK",
            f"the system {found.about.name} has the head {found.about.head.type}, expected ctc on a network: "
            "transformers has no class for others; in export_recogniser; train one with `head: {type: ctc}`",
        )
    layer = LetterLayer(head.output.weight, head.output.bias, trainee.symbols, head.dropout.p)
    write_ctc(network, layer, out)
    return out


def _recogniser_of(system: LoadedSystem) -> tuple[Recogniser, WritesTexts]:
    trainee = system.trainee
    if not isinstance(trainee, Recogniser) or not isinstance(trainee.spec, WritesTexts):
        raise UsageError(
            "SYSTEM_TASK",
            f"the system {system.about.name} is one of the task {system.about.task.type}, expected asr or ood_asr; "
            "in transcribe; load a recogniser",
        )
    return trainee, trainee.spec
