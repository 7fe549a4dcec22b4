"""Named places: ``rundlet context`` keeps them in a file of the user, ``-c NAME`` chooses one.

The file is ``rundlet/contexts.json`` in ``$XDG_CONFIG_HOME``, by default ``~/.config``::

    {"current": "prod", "contexts": {"prod": {"url": "https://kv:8000", "token_file": "~/.kv"}}}

It names the file of a token, and never holds the token itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from rundlet_server.cli.arguments import CONTEXT_VARIABLE
from rundlet_server.cli.exits import CommandError, ExitCode

_TOKEN_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Context:
    """A place with a name; one of ``url``, ``data`` and ``store`` is given."""

    url: str | None = None
    data: str | None = None
    store: str | None = None
    token_file: str | None = None
    ca_file: str | None = None

    @property
    def place(self) -> str:
        """The address or path, for people."""
        return self.url or self.store or self.data or ""

    def token(self) -> str | None:
        """Return the token from its file.

        Raises:
            CommandError: the file cannot be read, or has no token.
        """
        if self.token_file is None:
            return None
        path = Path(self.token_file).expanduser()
        try:
            with path.open("rb") as file:
                token = file.read(_TOKEN_BYTES_MAX).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as ex:
            reason = ex.strerror if isinstance(ex, OSError) else "it holds no token"
            message = f"the token file {path} of the context: {reason}"
            raise CommandError(message, ExitCode.USAGE) from ex
        if not token:
            message = f"the token file {path} of the context is empty"
            raise CommandError(message, ExitCode.USAGE)
        return token


@dataclass(frozen=True, slots=True)
class Contexts:
    """The content of the file."""

    current: str | None
    named: Mapping[str, Context]

    def save(self) -> None:
        """Replace the file atomically."""
        path = file_path().resolve()  # some users keep their settings elsewhere, behind a link
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        contexts = {
            name: {key: text for key, text in asdict(context).items() if text is not None}
            for name, context in self.named.items()
        }
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        content = {"current": self.current, "contexts": contexts}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")
        temporary.replace(path)


def file_path() -> Path:
    """Return the path of the file with the contexts of this user."""
    folder = os.environ.get("XDG_CONFIG_HOME") or ""
    # By its specification, a relative path in the variable is ignored.
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".config"
    return base / "rundlet" / "contexts.json"


def read_contexts() -> Contexts:
    """Return all contexts.

    Raises:
        CommandError: the file is not valid.
    """
    path = file_path()
    try:
        content = json.loads(path.read_bytes())
        named = {
            name: Context(**{field.name: members.get(field.name) for field in fields(Context)})
            for name, members in content.get("contexts", {}).items()
        }
        return Contexts(content.get("current"), named)
    except (FileNotFoundError, NotADirectoryError):
        return Contexts(None, {})
    except (ValueError, AttributeError) as ex:
        message = f"{path} does not hold contexts: {ex}; correct or remove it"
        raise CommandError(message, ExitCode.USAGE) from ex


def chosen_context() -> Context | None:
    """Return the context that ``-c``, ``RUNDLET_CONTEXT`` or ``rundlet context use`` chose.

    Raises:
        CommandError: there is no context of this name.
    """
    name = os.environ.get(CONTEXT_VARIABLE) or None
    contexts = read_contexts()
    name = name or contexts.current
    if name is None:
        return None
    if name not in contexts.named:
        message = f"there is no context {name!r}; 'rundlet context ls' lists all"
        raise CommandError(message, ExitCode.USAGE)
    return contexts.named[name]
