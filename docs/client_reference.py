"""Writes ``docs/client.md`` from the docstrings: ``python docs/client_reference.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_overloads

from rundlet import AsyncClient, Client, Lock, StoreMapping, Watch, errors
from rundlet.methods.files import FileMethods
from rundlet.methods.many import ManyMethods
from rundlet.methods.past import PastMethods
from rundlet.methods.server import ServerMethods
from rundlet.methods.transfers import TransferMethods
from rundlet.methods.values import ValueMethods
from rundlet.methods.waiting import WaitingMethods

PAGE_PATH: Final = Path(__file__).parent / "client.md"

_INTRODUCTION: Final = """\
# The Python client

`pip install ./client` in a clone installs the package `rundlet` with httpx and cbor2, and nothing
else. `Client` is for threads, `AsyncClient` for asyncio; they have the same methods and share all
code but the lines that wait.

`python docs/client_reference.py` writes this page from the docstrings; a test fails when it is out
of date.

| | |
|---|---|
{index}

```python
from rundlet import Client

with Client("http://127.0.0.1:8000") as client:
    client.set_many({{f"page/{{n}}": f"text {{n}}" for n in range(2_500)}}, ttl=3_600)
    assert client.count(prefix="page/") == 2_500
    assert [info.key for info in client.scan(prefix="page/", match="12?9")][0] == "page/1209"
    part = client.get("page/7", start=0, end=4)
    assert part is not None and part.text == "text" and part.size == 6
    assert client.delete_prefix("page/") == 2_500
```

## With asyncio

If a method of `Client` returns a value, await it; if it returns an iterator, use `async for`. A
task that is cancelled leaves no connection behind; if it was sending a write, the write may have
been applied.

```python
import asyncio

from rundlet import AsyncClient


async def main() -> None:
    async with AsyncClient("http://127.0.0.1:8000") as client:
        async with client.watch("news/") as watch:
            await asyncio.gather(*(client.set(f"news/{{n}}", "hello") for n in range(3)))
            seen = set()
            async for event in watch:
                seen.add(event.key)
                if len(seen) == 3:
                    break
        keys = [info.key async for info in client.scan(prefix="news/")]
        assert set(keys) == seen
        await client.delete_many(keys)


asyncio.run(main())
```

## As a dict

```python
from rundlet import Client

with Client("http://127.0.0.1:8000") as client:
    settings = client.mapping("settings/", codec="json")
    settings["colours"] = ["red", "green"]
    settings.update(size=3, draft=False)
    assert dict(settings) == {{"colours": ["red", "green"], "draft": False, "size": 3}}
    assert settings.pop("size") == 3
    assert len(settings) == 2
```

## One at a time

```python
from rundlet import Client, Put

with Client("http://127.0.0.1:8000") as client:
    with client.lock("nightly", ttl=30) as lock:
        report = b"the work that only one process does"
        lock.txn([Put("report", report)])  # only if the lock is still held then
        assert lock.token > 0  # for what is written elsewhere: it grows with each holder
```
"""

_GROUPS: Final = {
    "One value": ValueMethods,
    "Many values": ManyMethods,
    "Files": FileMethods,
    "Changes and locks": WaitingMethods,
    "The past": PastMethods,
    "Whole stores": TransferMethods,
    "The server": ServerMethods,
}
_OBJECTS: Final = {"A mapping": StoreMapping, "A lock": Lock, "A watch": Watch}
_SECTION: Final = re.compile(r"^(Args|Raises|Attributes|Returns):$", re.MULTILINE)
_TITLES: Final = {"Args": "Arguments", "Raises": "Errors"}
_ITEM: Final = re.compile(r"^ {4}(\S.*?): ", re.MULTILINE)


def page() -> str:
    """Return the whole page."""
    lines = _INTRODUCTION.format(index=_index()).splitlines()
    for title, kind in (("Client", Client), ("AsyncClient", AsyncClient)):
        lines += ["", f"## {title}", "", f"```text\n{title}{_signature(kind.__init__)}\n```"]
        lines += ["", *_shown(inspect.getdoc(kind) or "")]
    lines += ["", "### mapping and close", *_method("mapping", Client.mapping)]
    lines += _method("close", Client.close)
    for title, kind in _GROUPS.items():
        lines += ["", f"## {title}"]
        for name, method in _methods(kind):
            lines += ["", f"### {name}", *_method(name, method)]
    for title, shown in _OBJECTS.items():
        lines += ["", f"## {title}", "", *_shown(inspect.getdoc(shown) or "")]
        for name, method in _methods(shown):
            lines += _method(name, method)
    lines += ["", "## Errors", "", "```text"]
    lines += _dedented((errors.__doc__ or "").split("\n\n")[1])
    return "\n".join([*lines, "```", ""])


def _index() -> str:
    rows = []
    for title, kind in _GROUPS.items():
        anchor = title.lower().replace(" ", "-")
        links = ", ".join(f"[{name}](#{name})" for name, _ in _methods(kind))
        rows.append(f"| [{title}](#{anchor}) | {links} |")
    return "\n".join(rows)


def _methods(kind: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(kind).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            yield name, member


def _method(name: str, method: object) -> list[str]:
    assert callable(method)
    forms = get_overloads(method) or [method]
    signatures = [f"{name}{_signature(form)}" for form in forms]
    return ["", "```text", *signatures, "```", "", *_shown(inspect.getdoc(method) or "")]


def _signature(method: object) -> str:
    assert callable(method)
    found = inspect.signature(method)
    parameters = [
        one.replace(annotation=_Bare(one.annotation))
        for name, one in found.parameters.items()
        if name != "self"
    ]
    returned = _Bare(found.return_annotation)
    shown = str(found.replace(parameters=parameters, return_annotation=returned))
    if len(shown) <= 90:
        return shown
    inner, _, end = shown[1:].rpartition(")")
    parts = re.split(r", (?![^\[(]*[\])])", inner)
    return "(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


class _Bare:
    """An annotation that is shown without quotes."""

    def __init__(self, annotation: object) -> None:
        self._annotation = annotation

    def __repr__(self) -> str:
        return str(self._annotation)


def _shown(docstring: str) -> list[str]:
    """Return a docstring as Markdown."""
    text, *sections = _SECTION.split(docstring.replace("``", "`"))
    lines = text.strip().splitlines()
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        lines += ["", f"{_TITLES.get(title, title)}:", "", *_items(body)]
    return lines


def _items(body: str) -> Iterator[str]:
    """Yield the lines of a list: an item for each name, further lines under it."""
    for line in body.strip("\n").splitlines():
        named = _ITEM.match(line)
        if named:
            names = ", ".join(f"`{name}`" for name in named[1].split(", "))
            yield f"* {names}: {line[named.end() :]}"
        else:
            yield f"  {line.strip()}"


def _dedented(text: str) -> list[str]:
    return inspect.cleandoc(text).splitlines()


if __name__ == "__main__":
    PAGE_PATH.write_text(page())
