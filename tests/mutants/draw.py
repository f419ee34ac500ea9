"""Single changes of the code, each of which a test should notice.

What no test can or should notice is left out by rule: docstrings, type hints, imports, `__all__`, the wording of
errors, warnings, logs and help texts, colours, keywords that only check (`zip(strict=)`), how long something waits, and
sizes of blocks that change speed or memory alone. The names that these rules know stand below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

AREAS = ("wavlm/nn", "wavlm/train", "wavlm/engine", "wavlm/loader", "wavlm/mixing", "wavlm/labels", "wavlm/pipeline",
         "tasks/registry", "flows")  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "//", ast.Pow: "*",
    ast.BitAnd: "|", ast.LShift: ">>", ast.RShift: "<<", ast.MatMult: "+",
}  # fmt: skip
BLOCKS = ("body", "orelse", "finalbody", "annotation", "handlers", "cases", "type_comment")
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "sum": "len", "floor": "ceil"}
WORDS = re.compile(r"[a-z0-9_./*-]{1,40}")  # a string that a program reads, such as a key, a name or a path
TEXT_CALLS = re.compile(
    r"(log|logger|warnings|console|rich)\.\w+|print|echo|\w*(Error|Warning|Finding|Problem)|Option|Argument|Typer|"
    r"Code|\w+\.(command|add_typer)|_?(refuse|refusal|say|warn)\w*|\w*\.(help|print|rule)|Text|Panel|TypeVar|cast|overload"
)
TEXT_KEYWORDS = {
    "help", "style", "title", "description", "message", "strict", "justify", "header_style", "no_wrap", "markup", "box",
    "overflow", "caption", "epilog", "metavar", "rich_help_panel", "show_header", "padding", "highlight", "log_prints",
    "stacklevel", "color", "label", "linewidth", "alpha", "figsize", "fontsize", "dpi", "loc",
    "timeout", "poll", "pin_memory", "non_blocking", "chunk_size", "maxsize", "daemon", "copy",
}  # fmt: skip
WAITS = re.compile(r"(?i)timeout|patien|poll|_wait|block|chunk|interval|between|grace|retry|retries|limit_seconds")


@dataclass(frozen=True)
class Mutant:
    """One change: bytes `start` to `end` of a file become `after`. `lines`: where a test has to pass to notice."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str
    lines: tuple[int, int]

    @property
    def change(self) -> str:
        return f"{self.kind}: {self.before} -> {self.after}"

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.change}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants(root: Path, areas: tuple[str, ...] = AREAS) -> list[Mutant]:
    """All mutants of the areas, in the order of files and lines."""
    files = [path for area in areas for path in sorted((root / area).rglob("*.py"))]
    return [mutant for path in files for mutant in of_file(root, path)]


def of_file(root: Path, path: Path) -> list[Mutant]:
    """The mutants of one file that are Python, each change once."""
    source = path.read_bytes()
    found = {(one.start, one.end, one.after): one for one in _File(path.relative_to(root).as_posix(), source).visit()}
    return [one for one in sorted(found.values(), key=lambda one: (one.start, one.after)) if _compiles(one, source)]


def _compiles(one: Mutant, source: bytes) -> bool:
    try:
        ast.parse(one.applied(source))
    except (SyntaxError, ValueError):
        return False
    return True


class _File:
    """Walks one file; yields a mutant for each place that a rule does not leave out."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.offsets = [0]
        for line in source.splitlines(keepends=True):
            self.offsets.append(self.offsets[-1] + len(line))
        self.lines = (1, 1)

    def visit(self) -> Iterator[Mutant]:
        yield from self._body(ast.parse(self.source).body)

    def _body(self, statements: list[ast.stmt]) -> Iterator[Mutant]:
        for statement in statements:
            yield from self._statement(statement)

    def _statement(self, node: ast.stmt) -> Iterator[Mutant]:
        """Changes of a statement, then of those inside it."""
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Global | ast.Nonlocal) or _is_text(node):
            return
        blocks = [getattr(node, name, []) for name in BLOCKS[:3]]
        first = next((part[0].lineno for part in blocks if part), 0)
        self.lines = (node.lineno, first - 1 if first > node.lineno else node.end_lineno or node.lineno)
        yield from self._removal(node)
        if isinstance(node, ast.Raise):
            return
        yield from self._head(node)
        blocks += [part.body for part in (*getattr(node, "handlers", []), *getattr(node, "cases", []))]
        for block in blocks:
            yield from self._body(block)

    def _head(self, node: ast.stmt) -> Iterator[Mutant]:
        """Changes of what a statement says itself, without the statements inside it."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.lines = (node.body[0].lineno, node.end_lineno or node.lineno)
            yield from self._values([*node.args.defaults, *node.args.kw_defaults])
        elif not isinstance(node, ast.ClassDef):
            for name, value in ast.iter_fields(node):
                if name not in BLOCKS:
                    yield from self._values(value)
            if isinstance(node, ast.If | ast.While):
                yield from self._negation(node.test)

    def _removal(self, node: ast.stmt) -> Iterator[Mutant]:
        """Statements that do something; not the first assignment of a name, without which nothing runs."""
        acts = isinstance(node, ast.AugAssign | ast.Delete | ast.Raise | ast.Continue | ast.Break)
        acts |= isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield | ast.Await)
        acts |= isinstance(node, ast.Assign) and all(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
        if acts:
            yield self._change(node, "statement removed", "pass")

    def _values(self, value: object) -> Iterator[Mutant]:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.expr):
                yield from self._expression(one)
            elif isinstance(one, ast.comprehension | ast.withitem | ast.keyword | ast.arguments):
                for inner in ast.iter_child_nodes(one):
                    yield from self._values(inner)

    def _expression(self, node: ast.expr | None) -> Iterator[Mutant]:
        """Changes of an expression and of what is in it."""
        if node is None or isinstance(node, ast.JoinedStr) or _is_text(node):
            return
        yield from self._own(node)
        if isinstance(node, ast.Call):
            yield from self._call(node)
            return
        for _, value in ast.iter_fields(node):
            yield from self._values(value)
        if isinstance(node, ast.IfExp):
            yield from self._negation(node.test)
        for part in getattr(node, "generators", []):
            for test in part.ifs:
                yield self._change(test, "filter removed", "True")

    def _own(self, node: ast.expr) -> Iterator[Mutant]:
        text = ast.unparse
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            other = COMPARISONS[type(node.ops[0])]
            yield self._change(node, "comparison", f"(({text(node.left)}) {other} ({text(node.comparators[0])}))")
        elif isinstance(node, ast.Compare):
            other = COMPARISONS[type(node.ops[0])]
            rest = " ".join(
                f"{_sign(op)} {text(value)}" for op, value in zip(node.ops[1:], node.comparators[1:], strict=True)
            )
            yield self._change(node, "comparison", f"({text(node.left)} {other} {text(node.comparators[0])} {rest})")
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _joins_text(node):
            yield self._change(
                node, "arithmetic", f"(({text(node.left)}) {ARITHMETIC[type(node.op)]} ({text(node.right)}))"
            )
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield self._change(node, "and/or", f"({word.join(f'({text(value)})' for value in node.values)})")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield self._change(node, "sign or not removed", f"({text(node.operand)})")
        elif isinstance(node, ast.Constant) and (after := _other_constant(node.value)) is not None:
            yield self._change(node, "constant", after)

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        name = ast.unparse(node.func)
        if isinstance(node.func, ast.Name) and name in CALLS:
            yield self._change(node.func, "other function", CALLS[name])
        yield from self._expression(node.func)
        for value in node.args:
            yield from self._expression(value.value if isinstance(value, ast.Starred) else value)
        for keyword in node.keywords:
            if keyword.arg is None or (keyword.arg not in TEXT_KEYWORDS and not WAITS.search(keyword.arg)):
                yield from self._expression(keyword.value)
        for place, keyword in enumerate(node.keywords):
            if keyword.arg and keyword.arg not in TEXT_KEYWORDS and not WAITS.search(keyword.arg):
                rest = ast.Call(node.func, node.args, node.keywords[:place] + node.keywords[place + 1 :])
                yield self._change(node, f"argument {keyword.arg} dropped", ast.unparse(rest))

    def _negation(self, test: ast.expr) -> Iterator[Mutant]:
        if not isinstance(test, ast.Compare | ast.UnaryOp):  # these have changes of their own that say the same
            yield self._change(test, "condition negated", f"(not ({ast.unparse(test)}))")

    def _change(self, node: ast.expr | ast.stmt, kind: str, after: str) -> Mutant:
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = " ".join(self.source[start:end].decode().split())
        return Mutant(self.path, node.lineno, kind, start, end, before, after, self.lines)


def _sign(op: ast.cmpop) -> str:
    return ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")])).split(" ", 1)[1].rsplit(" ", 1)[0]


def _joins_text(node: ast.BinOp) -> bool:
    """Whether an operand is text: another operator on text or paths is a TypeError, which says little about tests."""
    sides = (node.left, node.right)
    return any(isinstance(one, ast.JoinedStr) or isinstance(getattr(one, "value", None), str) for one in sides)


def _other_constant(value: object) -> str | None:
    match value:
        case bool():
            other: object = not value
        case int():
            other = value + 1
        case float():
            other = value * 1.5 + (value == 0)
        case str() if WORDS.fullmatch(value):
            other = value + "x"
        case _:
            return None
    return repr(other)


def _is_text(node: ast.AST) -> bool:
    """Whether a rule leaves out the node and what is in it: text for people, hints for tools, lengths of waiting."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call() as call) | (ast.Call() as call):
            return bool(TEXT_CALLS.fullmatch(ast.unparse(call.func)))
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            name = ast.unparse(target)
            return name in ("__all__", "__slots__", "log") or bool(WAITS.search(name) and name.isupper())
        case _:
            return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
