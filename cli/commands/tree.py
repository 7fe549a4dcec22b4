"""``rundlet ls --tree``: how many keys and bytes there are below each prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rundlet_server.cli.show.formats import Format, Shape, table, write_rows
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.cli.show.terminal import shown_key, write_lines

if TYPE_CHECKING:
    from rundlet import KeyInfo

_TITLES: Final = (">keys", ">size", "")
_NO_NAME: Final = "(nothing)"  # of a key that ends where its prefix does
_BRANCHES_SHOWN: Final = 20
"""A table shows at most so many branches of a prefix, and the number of the others."""


@dataclass(slots=True)
class Branch:
    """A prefix with everything below it, or a key.

    Attributes:
        name: the part after the prefix of the parent.
        path: the whole prefix, or the key.
        key_count: number of keys that begin with it.
        value_bytes: size of all their values.
        branches: the children in order; only the first ones if the number shown is limited.
        hidden_count: number of children that are not shown.
        hidden_keys: number of keys in hidden children.
        hidden_bytes: size of their values.
        is_key: whether this is a key.
    """

    name: str
    path: str
    key_count: int = 0
    value_bytes: int = 0
    branches: list[Branch] = field(default_factory=list)
    hidden_count: int = 0
    hidden_keys: int = 0
    hidden_bytes: int = 0
    is_key: bool = False


def write_tree(
    infos: Iterable[KeyInfo], prefix: str, delimiter: str, depth: int | None, wanted: Format | None
) -> None:
    """Print the tree of sorted keys; for machines, print a line for each prefix."""
    is_for_people = wanted in (None, "table")
    root = tree_of(
        infos, prefix, delimiter, branches_max=_BRANCHES_SHOWN if is_for_people else None
    )
    if is_for_people:
        write_lines(table(_TITLES, _lines(root, depth)))
    else:
        write_rows(_prefixes(root, depth), _PREFIXES, wanted)


def tree_of(
    infos: Iterable[KeyInfo], prefix: str, delimiter: str, *, branches_max: int | None
) -> Branch:
    """Return the tree of sorted keys.

    With ``branches_max``, each branch keeps only its first children, so the size of the tree does
    not grow with the number of keys.
    """
    root = Branch(prefix, prefix)
    above: list[Branch] = [root]
    for info in infos:
        *names, name = _names(info.key[len(prefix) :], delimiter)
        shared = 0
        while shared < min(len(names), len(above) - 1) and above[shared + 1].name == names[shared]:
            shared += 1
        while len(above) > shared + 1:
            _close(above, branches_max)
        for each in names[shared:]:
            above.append(Branch(each, above[-1].path + each))
        leaf = Branch(name, info.key, 1, info.size, is_key=True)
        above.append(leaf)
        _close(above, branches_max)
    while len(above) > 1:
        _close(above, branches_max)
    return root


def _names(rest: str, delimiter: str) -> list[str]:
    """Split a key into parts; each part but the last includes its delimiter."""
    parts = rest.split(delimiter)
    return [*(part + delimiter for part in parts[:-1]), parts[-1]]


def _close(above: list[Branch], branches_max: int | None) -> None:
    """Add the last branch, which is complete, to its parent."""
    done = above.pop()
    parent = above[-1]
    parent.key_count += done.key_count
    parent.value_bytes += done.value_bytes
    if branches_max is None or len(parent.branches) < branches_max:
        parent.branches.append(done)
        return
    parent.hidden_count += 1
    parent.hidden_keys += done.key_count
    parent.hidden_bytes += done.value_bytes


def _lines(root: Branch, depth: int | None) -> Iterator[tuple[str, str, str]]:
    """Yield the lines of a tree: keys, size, name."""
    yield _line(root.key_count, root.value_bytes, shown_key(root.name) or "all keys")
    yield from _below(root, "", depth)


def _below(branch: Branch, indent: str, depth: int | None) -> Iterator[tuple[str, str, str]]:
    if depth == 0:
        return
    for position, each in enumerate(branch.branches, start=1):
        is_last = position == len(branch.branches) and not branch.hidden_count
        name = f"{indent}{'└─' if is_last else '├─'} {shown_key(each.name) or _NO_NAME}"
        yield (
            ("", shown_bytes(each.value_bytes), name)
            if each.is_key
            else _line(each.key_count, each.value_bytes, name)
        )
        further = indent + ("   " if is_last else "│  ")
        yield from _below(each, further, None if depth is None else depth - 1)
    if branch.hidden_count:
        name = f"{indent}└─ … {branch.hidden_count:,} more"
        yield _line(branch.hidden_keys, branch.hidden_bytes, name)


def _line(key_count: int, value_bytes: int, name: str) -> tuple[str, str, str]:
    return f"{key_count:,}", shown_bytes(value_bytes), name


def _prefixes(branch: Branch, depth: int | None) -> Iterator[Branch]:
    """Yield each branch that is not a key, a parent before its children."""
    yield branch
    if depth == 0:
        return
    for each in branch.branches:
        if not each.is_key:
            yield from _prefixes(each, None if depth is None else depth - 1)


def _members(branch: Branch) -> Mapping[str, object]:
    return {"prefix": branch.path, "keys": branch.key_count, "bytes": branch.value_bytes}


def _cells(branch: Branch) -> Sequence[str]:
    return [str(branch.key_count), str(branch.value_bytes), shown_key(branch.path)]


_PREFIXES: Final = Shape(_members, ("prefix", "keys", "bytes"), (), _cells)
