"""The files of the dashboard, read once, with their content types and entity tags.

The page names every file under a build id, which is a digest over all files. So a browser may keep
the files for good, and a page never mixes files of two versions.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "static"
_PAGE: Final = "index.html"
_FIRST_MODULE: Final = "shell/main.js"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^"\n]*(?:\{[^}]*\}[^"\n]*)?"([^"]+)";$', re.M)


@dataclass(frozen=True)  # without slots, which cached_property needs
class Asset:
    """A file as it is sent.

    Attributes:
        body: its bytes.
        content_type: of the body.
        tag: a strong entity tag, in its quotes.
    """

    body: bytes
    content_type: str
    tag: str

    @cached_property
    def packed(self) -> bytes:
        """The body, compressed with gzip."""
        return gzip.compress(self.body, mtime=0)

    @property
    def packed_tag(self) -> str:
        """The tag of the compressed body, which is another representation."""
        return f'{self.tag[:-1]}-gzip"'


class Assets:
    """All files of the dashboard.

    Attributes:
        build: the digest over all files.
        page: the page, which loads the others.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Serve ``files``, by their paths below the folder: ``index.html``, ``ROOM/NAME``."""
        self.build = _digest(*(part for name in sorted(files) for part in (name, files[name])))
        self._files = {name: _asset(name, body) for name, body in files.items() if name != _PAGE}
        self.page = _asset(_PAGE, self._page_of(files))

    def find(self, room: str, name: str) -> Asset | None:
        """Return a file of a room, or ``None``."""
        return self._files.get(f"{room}/{name}")

    def _page_of(self, files: Mapping[str, bytes]) -> bytes:
        """Return the page with the build id, and with links to all modules that it needs first.

        Without these links a browser would find the modules one import after another.
        """
        base = f"static/{self.build}"
        links = "\n".join(
            f'<link rel="modulepreload" href="{base}/{name}">'
            for name in modules_of(files, _FIRST_MODULE)
        )
        page = files[_PAGE].decode()
        return page.replace("{{modules}}", links).replace("{{base}}", base).encode()


def read_assets() -> Assets:
    """Read the files that are part of the package.

    Raises:
        OSError: a file cannot be read.
    """
    return Assets(
        {
            str(path.relative_to(_FOLDER)): path.read_bytes()
            for path in sorted(_FOLDER.rglob("*"))
            if path.suffix in _TYPES
        }
    )


def modules_of(files: Mapping[str, bytes], first: str) -> list[str]:
    """Return a module and all modules that it imports, directly or not, each once."""
    found = [first]
    for name in found:
        found.extend(other for other in _imports(name, files[name]) if other not in found)
    return found


def _imports(name: str, body: bytes) -> Iterator[str]:
    """Yield the modules that a module imports when it is loaded, as paths below the folder."""
    room = name.partition("/")[0]
    for target in dict.fromkeys(_IMPORT.findall(body.decode())):
        yield target.removeprefix("../") if target.startswith("../") else f"{room}/{target[2:]}"


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, _TYPES[Path(name).suffix], f'"{_digest(body)}"')


def _digest(*parts: str | bytes) -> str:
    digest = blake2b(digest_size=9)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
