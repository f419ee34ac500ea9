"""What a synthesiser has to say: for each recording the voice, the words, the manner and the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wavlm.corpus.layouts.target import make_target
from wavlm.rng import seed_for
from wavlm.specs import MadeSource
from wavlm.specs.made import BLANK, MannerSpec, SentenceSpec


@dataclass(frozen=True)
class Speaking:
    """One recording to be made."""

    path: str  # below the folder of the corpus
    part: str
    voice: str
    text: str
    target: str
    manner: MannerSpec  # with the values that were drawn for this recording


def list_recordings(source: MadeSource) -> Iterator[Speaking]:
    """All recordings of a source: by part, voice and number. The same source gives the same list.

    Manners take turns, and each manner speaks all patterns in turn. Voices begin with different patterns.
    """
    voices = [(part, voice) for part in sorted(source.voices) for voice in source.voices[part]]
    manners = source.manners or {"usual": MannerSpec()}
    names = sorted(manners)
    for first, (part, voice) in enumerate(voices):
        for number in range(source.per_voice):
            draw = _Draw(source.seed, voice, number)
            name = names[number % len(names)]
            sentence = source.sentences[(number // len(names) + first) % len(source.sentences)]
            text, target = _fill(sentence, source, draw, class_=name if len(names) > 1 else None)
            manner = _vary(manners[name], draw)
            yield Speaking(f"{part}/{voice}/{number:04d}.wav", part, voice, text, target, manner)


@dataclass(frozen=True)
class _Draw:
    """The draws for one recording: whole numbers from digests, which no version of a library changes."""

    seed: int
    voice: str
    number: int

    def below(self, count: int, name: str) -> int:
        return seed_for(self.seed, "made", self.voice, self.number, name) % count


def _fill(sentence: SentenceSpec, source: MadeSource, draw: _Draw, class_: str | None) -> tuple[str, str]:
    """The words and the target of a pattern whose blanks are filled."""
    filled = {
        name: texts[draw.below(len(texts), name)]
        for name in BLANK.findall(sentence.text)
        for texts in [source.values.get(name) or source.fillers[name]]
    }
    words = {name: " ".join(text.split()) for name, text in filled.items()}
    slots = [[name, words[name]] for name in BLANK.findall(sentence.text) if name in source.values]
    intent = {name: _replace(value, words) for name, value in sorted(sentence.intent.items())}
    target = make_target(slots=slots, intent=intent or None, class_=class_)
    assert target is not None  # noqa: S101 - it has slots, if only an empty list of them
    return " ".join(_replace(sentence.text, words).split()), target


def _replace(text: str, words: Mapping[str, str]) -> str:
    return BLANK.sub(lambda found: words[found[1]], text)


def _vary(manner: MannerSpec, draw: _Draw) -> MannerSpec:
    """The manner with each value drawn around it, within what the synthesiser takes."""

    def near(name: str, low: int, high: int) -> int:
        value: int = getattr(manner, name)
        most = value * manner.spread // 100
        return min(high, max(low, value - most + draw.below(2 * most + 1, f"manner {name}")))

    return MannerSpec(
        words_per_minute=near("words_per_minute", 80, 450),
        pitch=near("pitch", 0, 99),
        pitch_range=near("pitch_range", 0, 99),
        volume=near("volume", 10, 200),
        spread=manner.spread,
    )
