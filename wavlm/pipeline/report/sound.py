"""A pair to listen to, for the page: two players' audio inside the page, and the spectrograms of both."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from matplotlib.figure import Figure

from wavlm.mixing.spectrogram import FLOOR_DB, spectrogram
from wavlm.pipeline.report.content import ListeningPair, MixturesPart, Waveform
from wavlm.pipeline.report.svg import SERIES, Chart, page_style, to_chart

MOST_CHARACTERS = 3_000_000  # of all audio on a page: what is beyond is left out, and the page says so
SIZE_INCHES = (4.9, 3.0)
BINS = 67  # of a spectrogram: 120 Hz each
MOST_COLUMNS = 300


@dataclass(frozen=True)
class Player:
    """A pair, ready for the page."""

    pair: ListeningPair
    clean: str  # data URIs of FLAC, which keeps every sample and which all browsers play
    mixed: str
    spectrogram: Chart
    marked_s: tuple[float, float] | None  # where something was mixed in, in the excerpt

    @property
    def seconds(self) -> float:
        return len(self.pair.clean) / self.pair.sample_rate_hz


def make_players(mixtures: MixturesPart) -> tuple[Player, ...]:
    """The players of a page, as many as it has room for."""
    players, used = [], 0
    for number, pair in enumerate(mixtures.pairs, 1):
        player = _player(pair, f"sound{number}")
        used += len(player.clean) + len(player.mixed)
        if used > MOST_CHARACTERS:
            break
        players.append(player)
    return tuple(players)


def _player(pair: ListeningPair, name: str) -> Player:
    marked = _marked_seconds(pair)
    return Player(
        pair,
        _audio(pair.clean, pair.sample_rate_hz),
        _audio(pair.mixed, pair.sample_rate_hz),
        _draw(pair, name, marked),
        marked,
    )


def _marked_seconds(pair: ListeningPair) -> tuple[float, float] | None:
    """Where something was mixed in, in seconds of the excerpt."""
    if pair.truth is None or pair.truth.end_samples <= pair.truth.start_samples:
        return None
    rate_hz = pair.sample_rate_hz
    length = len(pair.clean) / rate_hz
    start, end = (at / rate_hz - pair.start_s for at in (pair.truth.start_samples, pair.truth.end_samples))
    return max(0.0, start), min(length, end)


def _audio(waveform: Waveform, sample_rate_hz: int) -> str:
    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}"


def _draw(pair: ListeningPair, name: str, marked: tuple[float, float] | None) -> Chart:
    levels = [_reduce(spectrogram(waveform, pair.sample_rate_hz)) for waveform in (pair.clean, pair.mixed)]
    top_db = max(float(item.max()) for item in levels)
    seconds = max(len(pair.clean), 1) / pair.sample_rate_hz
    highest_khz = pair.sample_rate_hz / 2000
    after = "mixed" if pair.truth else "with the effect"
    with page_style():
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        for axes, title, level in zip(panels, ("clean", after), levels, strict=True):
            extent = (0.0, seconds, 0.0, highest_khz)
            axes.imshow(
                level, origin="lower", aspect="auto", extent=extent, vmin=top_db + FLOOR_DB, vmax=top_db, cmap="magma"
            )
            axes.grid(visible=False)
            axes.set_ylabel(f"{title}\nkHz")
        panels[1].set_xlabel("seconds")
        for start, end in [marked] if marked else []:
            panels[1].plot(
                [start, end],
                [highest_khz + 0.5] * 2,
                color=SERIES[1],
                linewidth=4,
                clip_on=False,
                solid_capstyle="butt",
            )
            panels[1].vlines(
                [start, end], 0, highest_khz + 0.5, color="white", linewidth=1, linestyle=":", clip_on=False
            )
        words = f"The mixed part, from {marked[0]:.2f} to {marked[1]:.2f} s, is marked. " if marked else ""
        title = f"Spectrograms of {pair.name}, {seconds:.1f} s, clean above and {after} below. {words}"
        return to_chart(figure, name, title.split(",")[0], title.strip())


def _reduce(levels: np.ndarray) -> np.ndarray:
    """Fewer bins and columns, each the loudest of those that it stands for: levels (bins, frames)."""
    return _largest(_largest(levels, BINS).T, MOST_COLUMNS).T


def _largest(rows: np.ndarray, most: int) -> np.ndarray:
    step = -(-len(rows) // most)
    return np.stack([part.max(axis=0) for part in _runs(rows, step)])


def _runs(rows: np.ndarray, step: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
