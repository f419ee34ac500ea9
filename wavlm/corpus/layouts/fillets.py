"""Layout of Fish Fillets NG: sound/<room>/<language>/<dialogue>.ogg, roles and texts in Lua scripts.

Scripts are read as a list of tokens and never run. The script dialogs_<language>.lua of a room contains lines like

    dialogId("let-m-divna", "font_small", "What kind of strange ship is that?")
    dialogStr("Co je to za divnou loď?")
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.table import read_text
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.layouts import FilletsLayout

_TOKEN = re.compile(
    r"--\[\[.*?\]\]|--[^\n]*"  # comments
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<word>[A-Za-z_]\w*)|(?P<mark>\.\.|\S)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(\d{1,3}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Dialogue:
    role: str
    english: str | None  # what it means
    text: str | None


def read_fillets(layout: FilletsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are `<room>__<dialogue>`. Recordings that no script names have an unknown speaker.

    The target has the role as class, and the English line of the script as translation.
    """
    rooms: dict[str, dict[str, Dialogue]] = {}
    for script in tree.files(f"**/script/*/dialogs_{layout.language}.lua"):
        rooms[script.parent.name] = read_dialogues(read_text(tree.root / script))
    anywhere = _unique(rooms)
    spoken = f"**/sound/**/{layout.language}"  # music, effects and other languages lie elsewhere
    for path in tree.audio(f"{spoken}/*.ogg", scope=f"{spoken}/**"):
        room = path.parent.parent.name
        found = rooms.get(room, {}).get(path.stem) or anywhere.get(path.stem)
        found = found or Dialogue("", None, None)
        target = make_target(class_=found.role or None, translation=found.english or None)
        key = key_of(f"{room}/{path.stem}")
        yield Recording(key, path, found.role or UNKNOWN_SPEAKER, found.text, target=target)


def _unique(rooms: Mapping[str, Mapping[str, Dialogue]]) -> dict[str, Dialogue]:
    """Dialogues of all rooms, without those whose name stands for several. Lines that differ have no translation."""
    named: dict[str, set[Dialogue]] = defaultdict(set)
    for room in rooms.values():
        for name, dialogue in room.items():
            named[name].add(dialogue)
    return {name: one for name, found in named.items() if (one := _agreed(found)) is not None}


def _agreed(found: set[Dialogue]) -> Dialogue | None:
    """What all of these say; None if they differ in more than the English line."""
    if len({(one.role, one.text) for one in found}) > 1:
        return None
    one, *more = found
    return replace(one, english=None) if more else one


def read_dialogues(script: str) -> dict[str, Dialogue]:
    """{dialogue: role and text} of a script. A text belongs to the dialogue id before it."""
    found: dict[str, Dialogue] = {}
    name = ""
    for function, arguments in _calls(script):
        if function == "dialogId" and len(arguments) >= 2:
            name = arguments[0]
            english = arguments[2].strip() if len(arguments) > 2 else None
            found[name] = Dialogue(arguments[1].removeprefix("font_"), english, None)
        elif function == "dialogStr" and arguments and name in found:
            found[name] = replace(found[name], text=arguments[0])
    return found


def _calls(script: str) -> Iterator[tuple[str, list[str]]]:
    """Function calls whose arguments are strings, also joined by `..`. Other calls are skipped."""
    tokens = [match for match in _TOKEN.finditer(script) if match.lastgroup]
    for index, token in enumerate(tokens[:-1]):
        if token.lastgroup == "word" and tokens[index + 1].group() == "(":
            arguments = _arguments(tokens[index + 2 :])
            if arguments is not None:
                yield token.group(), arguments


def _arguments(tokens: list[re.Match[str]]) -> list[str] | None:
    arguments: list[str] = []
    joined = False
    for token in tokens:
        if token.lastgroup == "string":
            text = _ESCAPE.sub(_letter, token.group()[1:-1])
            arguments[-1:] = [arguments[-1] + text] if joined else [*arguments[-1:], text]
        elif token.group() == ")":
            return arguments
        elif token.group() not in (",", ".."):
            return None
        joined = token.group() == ".."
    return None


def _letter(escape: re.Match[str]) -> str:
    code = escape.group(1)
    return chr(int(code)) if code.isdigit() else _LETTERS.get(code, code)
