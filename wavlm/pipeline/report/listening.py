"""What of the fixed mixtures is on the page: short excerpts, cut so that what was mixed in is heard.

Legend: N samples.
"""

from __future__ import annotations

from wavlm.mixing.facts import MixturesFacts
from wavlm.mixing.pairs import PairFiles, find_pairs
from wavlm.mixing.truth import Truth, read_truth
from wavlm.pipeline.artifacts import Mixtures
from wavlm.pipeline.report.content import ListeningPair, MixturesPart
from wavlm.pipeline.store import Store

MIXTURES = 6
MIXTURE_SECONDS = 5.0
EFFECTS = 12
EFFECT_SECONDS = 3.0
LEAD_SECONDS = 1.0  # before what was mixed in


def gather_mixtures(mixtures: Mixtures, store: Store) -> MixturesPart | None:
    """The mixtures and excerpts of some pairs; None if they are no longer in the store."""
    if not store.is_complete(mixtures):
        return None
    folder = store.path(mixtures)
    found = find_pairs(folder)
    chosen = [*[item for item in found if not item.is_effect][:MIXTURES], *[i for i in found if i.is_effect][:EFFECTS]]
    truth = {item.key: item for item in read_truth(folder)} if chosen else {}
    return MixturesPart(
        facts=store.facts(mixtures, MixturesFacts),
        folder=str(folder.relative_to(store.root)),
        pairs=tuple(_cut(item, None if item.is_effect else truth.get(item.name)) for item in chosen),
        left_out=len(found) - len(chosen),
    )


def _cut(files: PairFiles, truth: Truth | None) -> ListeningPair:
    """The excerpt of a pair: where something was mixed in, else the begin."""
    clean, mixed, rate_hz = files.read()
    length = round((EFFECT_SECONDS if files.is_effect else MIXTURE_SECONDS) * rate_hz)
    lead = round(LEAD_SECONDS * rate_hz)
    latest = max(0, len(clean) - length)
    start = min(latest, max(0, truth.start_samples - lead)) if truth else 0
    end = start + length
    return ListeningPair(files.name, clean[start:end], mixed[start:end], start / rate_hz, truth, rate_hz)
