"""Write ``deploy/kubernetes`` from the chart in ``deploy/helm``: ``python deploy/manifests.py``.

So ports, probes and time limits are only in the chart, and users without Helm still get plain
manifests. This renders the part of Helm's template language that the chart uses, and rejects the
rest. A test compares it with Helm itself on machines that have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

FOLDER: Final = Path(__file__).parent
CHART: Final = FOLDER / "helm/rundlet"
RELEASE: Final = "rundlet"

PLAIN: Final[Mapping[str, Mapping[str, object]]] = {
    "folder.yaml": {},
    "engine.yaml": {"engine": {"enabled": True}},
    "monitoring.yaml": {"serviceMonitor": {"enabled": True}},
}
"""The files of ``deploy/kubernetes``, and the values that differ from the chart's own."""

_TAG: Final = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_HEAD: Final = """\
# Written by `python deploy/manifests.py` from the chart in deploy/helm: change that one.
# kubectl apply -f {name}
"""

Piece = str | tuple[str, "list[Piece]", "list[Piece]"]
"""Text, ``=EXPRESSION``, or a block: its words, what is inside, and what stands after ``else``."""


class TemplateError(ValueError):
    """The chart uses what this renderer does not know."""


class Chart:
    """A chart with the values of one release."""

    def __init__(self, values: Mapping[str, object]) -> None:
        own = yaml.safe_load((CHART / "values.yaml").read_text())
        self._root = {"Values": _merged(own, values), "Release": {"Name": RELEASE}}
        self._defined: dict[str, list[Piece]] = {}
        self._templates = {
            path.name: _parse(path.read_text()) for path in sorted(CHART.glob("templates/*"))
        }
        for pieces in self._templates.values():
            for piece in pieces:
                if isinstance(piece, tuple) and piece[0].startswith("define "):
                    self._defined[piece[0].split('"')[1]] = piece[1]

    def rendered(self) -> dict[str, str]:
        """Return the text of each template that is about an object."""
        texts = {
            name: self._text(pieces, self._root).strip()
            for name, pieces in self._templates.items()
            if name.endswith(".yaml")
        }
        return {name: text for name, text in texts.items() if text}

    def _text(self, pieces: list[Piece], dot: object) -> str:
        return "".join(self._parts(pieces, dot))

    def _parts(self, pieces: list[Piece], dot: object) -> Iterator[str]:
        for piece in pieces:
            if isinstance(piece, str):
                yield _shown(self._value(piece[1:], dot)) if piece[0] == "=" else piece[1:]
                continue
            words, inside, otherwise = piece
            kind, _, condition = words.partition(" ")
            if kind == "if":
                yield self._text(inside if self._value(condition, dot) else otherwise, dot)
            elif kind == "range":
                items = self._value(condition, dot)
                assert isinstance(items, list), condition
                yield from (self._text(inside, item) for item in items)
            elif kind != "define":
                raise TemplateError(words)

    def _value(self, expression: str, dot: object) -> object:
        first, *filters = (part.strip() for part in expression.split("|"))
        value = self._call(first, dot)
        for step in filters:
            name, _, argument = step.partition(" ")
            if name == "nindent":
                indent = "\n" + " " * int(argument)
                value = indent + str(value).replace("\n", indent)
            elif name == "quote":
                value = '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
            else:
                raise TemplateError(expression)
        return value

    def _call(self, expression: str, dot: object) -> object:
        name, _, argument = expression.partition(" ")
        if name == "not":
            return not self._call(argument, dot)
        if name == "toYaml":
            return yaml.safe_dump(self._call(argument, dot)).strip()
        if name == "include":
            return self._text(self._defined[argument.split('"')[1]], self._root)
        if expression == ".":
            return dot
        if not re.fullmatch(r"(\.\w+)+", expression):
            raise TemplateError(expression)
        value: object = self._root
        for part in expression[1:].split("."):
            assert isinstance(value, dict), expression
            if part not in value:
                raise TemplateError(f"{expression}: values.yaml has no {part}")
            value = value[part]
        return value


def _parse(text: str) -> list[Piece]:
    """Split a template at its tags, and nest what is between ``if`` and ``end``."""
    stack: list[tuple[str, list[Piece], list[Piece]]] = [("", [], [])]
    target = stack[0][1]
    at, trims = 0, False
    for tag in _TAG.finditer(text):
        before = text[at : tag.start()]
        before = before.lstrip() if trims else before
        target.append("'" + (before.rstrip() if tag[1] else before))
        at, trims = tag.end(), bool(tag[3])
        if tag[2].partition(" ")[0] in {"if", "range", "define"}:
            stack.append((tag[2], [], []))
            target = stack[-1][1]
        elif tag[2] == "else":
            target = stack[-1][2]
        elif tag[2] == "end":
            block = stack.pop()
            parent = stack[-1]
            target = parent[2] if parent[2] else parent[1]
            target.append(block)
        else:
            target.append("=" + tag[2])
    target.append("'" + (text[at:].lstrip() if trims else text[at:]))
    if len(stack) != 1:
        raise TemplateError(f"no end of {stack[-1][0]}")
    return stack[0][1]


def _merged(own: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    merged = dict(own)
    for name, value in other.items():
        inner = merged[name]
        if isinstance(inner, dict) and isinstance(value, Mapping):
            merged[name] = _merged(inner, value)
        else:
            merged[name] = value
    return merged


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def manifest(name: str) -> str:
    """Return the text of a plain manifest."""
    texts = Chart(PLAIN[name]).rendered()
    if name == "monitoring.yaml":
        texts = {"servicemonitor.yaml": texts["servicemonitor.yaml"]}
    return _HEAD.format(name=name) + "".join(f"---\n{text}\n" for text in texts.values())


if __name__ == "__main__":
    for plain in PLAIN:
        (FOLDER / "kubernetes" / plain).write_text(manifest(plain))
