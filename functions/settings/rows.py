"""A row of the table of settings, and the classes whose fields are rows.

A row is a field of a dataclass: ``setting`` gives the field its default and the rest of its row,
``group`` makes a field of a whole dataclass of settings. ``settings_of`` lists all rows of a
class, groups included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from rundlet_server.functions.settings.kinds import Kind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Instance = TypeVar("Instance", bound=DataclassInstance)

ServerName = Literal["waitress", "granian"]
User = Literal["server", "functions", "store"]

Value = TypeVar("Value")

_ROW: Final = "row"
_GROUP: Final = "group"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row.

    Attributes:
        kind: how a text is read and shown.
        help: one or two sentences for a help text and the documentation.
        variable: the environment variable; ``None`` if there is only an option.
        option: of ``rundlet serve``; ``None`` if a server sets the variable for its own
            processes.
        short: a second spelling of the option.
        panel: the heading above the option.
        default_text: how the default is shown if it depends on something else.
        by_server: defaults for WSGI servers for which ``default`` does not apply.
        only: the only WSGI server that the setting affects.
        used_by: the process that listens, the functions, or the store.
        path: the names of the fields that lead to the value; ``settings_of`` fills it in.
        default: the default of the field; ``settings_of`` fills it in.
    """

    kind: Kind
    help: str
    variable: str | None = None
    option: str | None = None
    short: str | None = None
    panel: str | None = None
    default_text: str | None = None
    by_server: Mapping[ServerName, object] = field(default_factory=dict)
    only: ServerName | None = None
    used_by: User = "server"
    path: tuple[str, ...] = ()
    default: object = None

    @property
    def name(self) -> str:
        """The name of the field."""
        return self.path[-1]

    @property
    def label(self) -> str:
        """The name of the setting in ``rundlet config`` and in errors about the environment."""
        name = self.variable or self.option
        assert name is not None
        return name

    @property
    def is_default_dependent(self) -> bool:
        """Whether the default depends on other settings, or on where the server runs."""
        return self.default_text is not None or bool(self.by_server)

    @property
    def shown_default(self) -> str:
        """The default in a form for people."""
        if self.default_text is not None:
            return self.default_text
        shown = self.kind.show(self.default)
        others = (f"; {server} {self.kind.show(value)}" for server, value in self.by_server.items())
        return shown + "".join(others)

    @property
    def description(self) -> str:
        """The help, with the only server that the setting affects."""
        return f"{self.help} Only with {self.only}." if self.only else self.help

    def value_in(self, instance: object) -> object:
        """Return the value of this setting in an instance of the class where its path begins."""
        for name in self.path:
            instance = getattr(instance, name)
        return instance


class _Group(NamedTuple):
    kind: type[DataclassInstance]
    rows: Mapping[str, Setting]


def setting(default: Value, row: Setting) -> Value:
    """Return a field with its default and the rest of its row."""
    return field(default=default, metadata={_ROW: row})


def group(make: Callable[[], Value], rows: Mapping[str, Setting] | None = None) -> Value:
    """Return a field that is a dataclass of settings.

    Args:
        make: the dataclass.
        rows: rows by field, for a class whose own fields have none, such as a class of ``storage``.
    """
    return field(default_factory=make, metadata={_GROUP: _Group(make, rows or {})})  # type: ignore[arg-type] # a dataclass


def settings_of(
    kind: type[DataclassInstance],
    path: tuple[str, ...] = (),
    rows: Mapping[str, Setting] | None = None,
) -> Iterator[Setting]:
    """Yield all rows of a class in the order of its fields."""
    for each in dataclasses.fields(kind):
        row = (rows or {}).get(each.name) or each.metadata.get(_ROW)
        if row is not None:
            yield dataclasses.replace(row, path=(*path, each.name), default=each.default)
        elif _GROUP in each.metadata:
            inner: _Group = each.metadata[_GROUP]
            yield from settings_of(inner.kind, (*path, each.name), inner.rows)


def with_value(instance: Instance, path: tuple[str, ...], value: object) -> Instance:
    """Return a copy with one value replaced."""
    name, *rest = path
    inner = with_value(getattr(instance, name), tuple(rest), value) if rest else value
    return dataclasses.replace(instance, **{name: inner})
