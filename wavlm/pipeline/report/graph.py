"""The lineage of a model as a small graph: boxes and lines with their places, one row per iteration.

Corpora of one role are one box, as are the labels of all corpora. Every box has the same width, three in a row, so that
the graph fits a telephone. What all iterations read comes along a rail on the left (speech) or right (noise and rooms).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wavlm.pipeline.artifacts import Artifact, Codebook, ImportedModel, Labels, Model, Shards, keep_latest, lineage
from wavlm.pipeline.imported import describe_source
from wavlm.specs import StartSpec, name_features

WIDTH = 400
BOX_WIDTH, BOX_HEIGHT = 112, 44
COLUMNS = (20, 144, 268)  # left edges
ROW_HEIGHT = 78
LEFT_RAIL, RIGHT_RAIL, TOP_RAIL = 8, 392, 4
FIRST_Y = 14  # of the corpora: the rail of noise and rooms goes above them

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """One or several artifacts of a kind."""

    kind: str
    title: str
    text: str
    artifacts: tuple[Artifact, ...]
    x: float
    y: float

    @property
    def left(self) -> Point:
        return self.x, self.y + BOX_HEIGHT / 2

    @property
    def right(self) -> Point:
        return self.x + BOX_WIDTH, self.y + BOX_HEIGHT / 2

    @property
    def top(self) -> Point:
        return self.x + BOX_WIDTH / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + BOX_WIDTH / 2, self.y + BOX_HEIGHT


@dataclass(frozen=True)
class Line:
    """An arrow along points; dashed: only measured with."""

    points: tuple[Point, ...]
    is_dashed: bool = False

    @property
    def path(self) -> str:
        """For SVG's `d`."""
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Graph:
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    height: float
    words: str  # the same for those who do not see it


def draw_graph(model: Model, products: Sequence[Artifact]) -> Graph:
    """The graph of a model, its teachers, and what was made from it."""
    every = keep_latest(lineage([model]))
    sources = list(_sources([item for item in every if isinstance(item, Shards)]))
    imported = list(_imported([item for item in every if isinstance(item, ImportedModel)]))
    boxes, lines, words = [*sources, *imported], list[Line](), [_say_sources(sources), *map(_say_imported, imported)]
    row, last = 2 if imported else 1, None
    for item in every:
        if isinstance(item, Model):
            added = list(_iteration(item, row))
            boxes += added
            teacher = _find(imported, item.codebook and item.codebook.teacher) or last
            lines += [*_lines_of(added, sources, teacher, row), *_line_of_start(item, added, imported, row)]
            words.append(_say_iteration(item))
            last = next(box for box in added if box.kind == Model.kind)
            row += 2 if item.mixtures else 1
    y = FIRST_Y + row * ROW_HEIGHT
    made = [Box(item.kind, item.kind, "", (item,), x, y) for x, item in zip(COLUMNS, products, strict=False)]
    if last and made:
        lines += [Line((last.bottom, (last.bottom[0], box.y - 14), (box.top[0], box.y - 14), box.top)) for box in made]
        words.append(f"From it were made: {', '.join(box.title for box in made)}.")
    height = FIRST_Y + (row + bool(made)) * ROW_HEIGHT - (ROW_HEIGHT - BOX_HEIGHT) + 4
    return Graph((*boxes, *made), tuple(lines), height, " ".join(words))


def _sources(shards: Sequence[Shards]) -> Iterator[Box]:
    """One box per role that has corpora: speech on the left, the others from the right."""
    column = {"speech": 0, "noise": 1, "room": 2}
    for role, title in (("speech", "speech"), ("noise", "noise"), ("room", "rooms")):
        found = tuple(item for item in shards if item.corpus.spec.role == role)
        if found:
            text = found[0].name if len(found) == 1 else f"{len(found)} corpora"
            yield Box("corpus", title, text, found, COLUMNS[column[role]], FIRST_Y)


def _imported(models: Sequence[ImportedModel]) -> Iterator[Box]:
    """One box per model from elsewhere, from the right, in a row of their own; of more than three the first."""
    y = FIRST_Y + ROW_HEIGHT
    for x, item in zip(reversed(COLUMNS), models, strict=False):
        yield Box(item.kind, item.called, "from elsewhere", (item,), x, y)


def _find(boxes: Sequence[Box], artifact: Artifact | StartSpec | None) -> Box | None:
    return next((box for box in boxes if artifact in box.artifacts), None)


def _line_of_start(model: Model, added: Sequence[Box], imported: Sequence[Box], row: int) -> Iterator[Line]:
    """From the model that a training starts from to the model that it makes."""
    begin, end = _find(imported, model.start), _find(added, model)
    if begin and end:
        turn = FIRST_Y + row * ROW_HEIGHT - 15
        x = end.top[0] + 8
        yield Line((begin.bottom, (begin.bottom[0], turn), (x, turn), (x, end.y)))


def _iteration(model: Model, row: int) -> Iterator[Box]:
    y = FIRST_Y + row * ROW_HEIGHT
    if codebook := model.codebook:
        streams = f"{codebook.spec.num_streams} x " if codebook.spec.num_streams > 1 else ""
        text = f"{name_features(codebook.spec)}, K = {streams}{codebook.spec.num_clusters}"
        yield Box(Codebook.kind, "codebook", text, (codebook,), COLUMNS[0], y)
        number = len(model.labels)
        text = f"of {number} corpora" if number > 1 else f"of {model.labels[0].name}"
        yield Box(Labels.kind, "labels", text, model.labels, COLUMNS[1], y)
    yield Box(Model.kind, f"model {model.iteration}", f"{model.train.updates:,} updates", (model,), COLUMNS[2], y)
    if model.mixtures:
        text = f"validate model {model.iteration}"
        yield Box("mixtures", "mixtures", text, (model.mixtures,), COLUMNS[1], y + ROW_HEIGHT)


def _lines_of(boxes: Sequence[Box], sources: Sequence[Box], teacher: Box | None, row: int) -> Iterator[Line]:
    """The lines into the boxes of one iteration."""
    by_kind = {box.kind: box for box in boxes}
    model, codebook, labels = by_kind[Model.kind], by_kind.get(Codebook.kind), by_kind.get(Labels.kind)
    above = FIRST_Y + row * ROW_HEIGHT - 9
    middle = FIRST_Y + BOX_HEIGHT / 2
    rail = ((COLUMNS[0], middle), (LEFT_RAIL, middle))
    if codebook and labels:
        yield Line((*rail, (LEFT_RAIL, codebook.left[1]), codebook.left))
        yield Line((*rail, (LEFT_RAIL, above), (labels.top[0], above), labels.top))
        yield Line((codebook.right, labels.left))
        yield Line((labels.right, model.left))
    else:
        yield Line((*rail, (LEFT_RAIL, above), (model.top[0] - 20, above), (model.top[0] - 20, model.y)))
    if teacher and codebook and _has_teacher(codebook):
        x = teacher.x + 28
        turn = above - 12
        start = (x, teacher.bottom[1])
        yield Line((start, (x, turn), (codebook.top[0], turn), codebook.top))
    (trained,) = model.artifacts
    if isinstance(trained, Model) and (trained.noise or trained.rooms):
        for box in sources:
            if box.title != "speech":
                up, over = (box.top[0], TOP_RAIL), (RIGHT_RAIL, TOP_RAIL)
                yield Line((box.top, up, over, (RIGHT_RAIL, model.right[1]), model.right))
    if mixtures := by_kind.get("mixtures"):
        x = model.x + 64
        yield Line((mixtures.right, (x, mixtures.right[1]), (x, model.bottom[1])), is_dashed=True)


def _has_teacher(box: Box) -> bool:
    return any(isinstance(item, Codebook) and item.teacher for item in box.artifacts)


def _say_sources(sources: Sequence[Box]) -> str:
    read = (f"{box.title} ({', '.join(item.name for item in box.artifacts)})" for box in sources)
    return f"Read are {'; '.join(read)}."


def _say_imported(box: Box) -> str:
    sources = (describe_source(item) for item in box.artifacts if isinstance(item, ImportedModel))
    return f"The model {box.title} is from {', '.join(sources)}."


def _say_iteration(model: Model) -> str:
    codebook = model.codebook
    if codebook is None:
        return f"Model {model.iteration} was trained on the speech."
    teacher = codebook.teacher
    origin = (
        f"model {teacher.iteration if isinstance(teacher, Model) else teacher.called}"
        if teacher
        else name_features(codebook.spec)
    )
    start = f" It started from the model {model.start.called}." if isinstance(model.start, ImportedModel) else ""
    mixed = ", with noise or rooms added" if model.noise or model.rooms else ""
    return (
        f"Model {model.iteration} was trained on labels of {len(model.labels)} corpora{mixed}; the labels are from a "
        f"codebook of {codebook.spec.num_clusters} clusters of {origin}.{start}"
    )
