"""Small immutable records, as ``dataclass(frozen=True, slots=True)`` makes them, only later.

``dataclasses`` compiles six functions for each class when it is defined. For the records of this
package that took a third of the time in which httpx is imported, whichever records a program uses.
Here the first instance of a class compiles its ``__init__``; all else is the same for each class.
``dataclasses.replace``, ``asdict`` and ``fields`` take these records, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, FrozenInstanceError, field, fields, make_dataclass
from typing import Any, ClassVar, NoReturn, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Turns the annotations of a class into slots, and its values into defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RecordType:
        """Make the class."""
        names = tuple(namespace.get("__annotations__", ())) if bases else ()
        defaults = {each: namespace.pop(each) for each in names if each in namespace}
        namespace |= {"__slots__": names, "__match_args__": names, "_defaults": defaults}
        return super().__new__(cls, name, bases, namespace)


class _Fields:
    """What ``dataclasses`` looks for in a class, made when it does."""

    def __get__(self, _: object, owner: type[Record]) -> dict[str, Field[Any]]:
        types, defaults = owner.__annotations__, owner._defaults
        rows = [(name, types[name], _field(defaults, name)) for name in owner.__match_args__]
        return {each.name: each for each in fields(make_dataclass("Twin", rows))}


def _field(defaults: Mapping[str, object], name: str) -> Any:  # noqa: ANN401 - as ``field``
    """Return a field; a default that has no hash ``dataclasses`` takes from a function only."""
    if name not in defaults:
        return field()
    default = defaults[name]
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default)
    return field(default=default)


class Record(metaclass=RecordType):
    """Is equal to another one of its class that has equal fields; mappings have no hash."""

    _defaults: ClassVar[dict[str, object]]
    __match_args__: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = _Fields()  # type: ignore[assignment] # it returns that

    def __init__(self, *args: object, **named: object) -> None:
        """Compile the ``__init__`` of this class, and call it from now on."""
        kind: Any = type(self)
        kind.__init__ = _compiled_init(kind)
        kind.__init__(self, *args, **named)

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple([each for each in _values(self) if not isinstance(each, Mapping)]))

    def __setattr__(self, name: str, _: object) -> NoReturn:
        message = f"cannot assign to field {name!r}"
        raise FrozenInstanceError(message)

    def __delattr__(self, name: str) -> NoReturn:
        message = f"cannot delete field {name!r}"
        raise FrozenInstanceError(message)

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Say how copies and pickles are made."""
        return type(self), _values(self)

    def __replace__(self, **changes: object) -> Self:
        """Return a copy with other fields; from Python 3.13 on, ``copy.replace`` calls it."""
        kind: Any = type(self)
        copy: Self = kind(**dict(zip(self.__match_args__, _values(self), strict=True)) | changes)
        return copy


def _values(record: Any) -> tuple[object, ...]:  # noqa: ANN401 - any kind of record
    return tuple([getattr(record, name) for name in record.__match_args__])


def _compiled_init(kind: type[Record]) -> Callable[..., None]:
    """Return the ``__init__`` that sets one field after the other."""
    arguments = [
        f"{name}: {annotation} = _defaults[{name!r}]"
        if name in kind._defaults
        else f"{name}: {annotation}"
        for name, annotation in kind.__annotations__.items()
    ]
    lines = [f"    _set(self, {name!r}, {name})\n" for name in kind.__match_args__]
    source = f"def __init__(self, {', '.join(arguments)}) -> None:\n{''.join(lines)}"
    names: dict[str, Any] = {"_defaults": kind._defaults, "_set": object.__setattr__}
    exec(source, names)  # noqa: S102 - of the names of fields alone
    compiled: Callable[..., None] = names["__init__"]
    compiled.__qualname__ = f"{kind.__qualname__}.__init__"
    return compiled
