"""Record a terminal session as a picture that types: ``python docs/recording.py``.

The commands run against a real server, so the picture shows what they print; a test compares. The
picture is an SVG of text with an animation in CSS. Once it has played, or where animations are
turned off, it is the whole session.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests.support.processes.servers import RundletServer  # noqa: E402 # found by the line above

PICTURE: Final = ROOT / "docs/images/session.svg"
URL: Final = "http://127.0.0.1:8000"
COMMANDS: Final = (
    f"curl -X PUT -d hello {URL}/v1/kv/greeting",
    "rundlet get greeting",
    "rundlet incr visits 5",
    "rundlet set session/7 ann --ttl 30m --if-absent",
    "rundlet set session/7 bob --if-absent",
    "rundlet demo",
    "rundlet diff 11 --prefix demo/",
    "rundlet get demo/config/release",
    "rundlet rollback --prefix demo/config/ --to 11",
    "rundlet get demo/config/release",
)

COLUMNS: Final = 90
_LETTER: Final = 8.43  # pixels, of most monospaced fonts at this size
_SIZE: Final = 14
_LINE: Final = 20
_MARGIN: Final = 22
_BAR: Final = 36
_LETTERS_PER_S: Final = 12
_READ_S: Final = 1.6
_READ_LINE_S: Final = 0.6
_CODES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def printed(command: str, url: str, folder: Path) -> list[str]:
    """Run a command on a terminal; return the lines that it shows there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environ = {name: value for name, value in os.environ.items() if "RUNDLET" not in name}
    environ |= {
        "RUNDLET_URL": url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    words = ["bash", "-c", command.replace(URL, url)]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ, cwd=folder
    ) as process:
        os.close(theirs)
        shown = b"".join(_read(ours))
        process.wait()
    os.close(ours)
    text = _CODES.sub("", shown.decode().replace("\r\n", "\n")).replace(url, URL)
    return text.rstrip("\n").split("\n") if text.strip() else []


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # what Linux answers once the other side is closed
            return
        if not data:
            return
        yield data


def session() -> list[tuple[str, list[str]]]:
    """Run all commands against a new server; return each with what it printed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        arguments = ("--data", folder / "data", "--sync", "never")
        with RundletServer(*arguments, stderr_path=folder / "stderr") as server:
            return [(command, printed(command, server.url, folder)) for command in COMMANDS]


def drawn(commands: list[tuple[str, list[str]]]) -> str:
    """Return the picture."""
    lines: list[str] = []
    time_s = 0.8
    for command, output in commands:
        row = len(lines)
        typing_s = len(command) / _LETTERS_PER_S
        lines.append(_typed(command, row, time_s, typing_s))
        time_s += typing_s + 0.5
        for text in output:
            lines.append(_text(text, len(lines), f"o{_error(text)}", time_s))
        time_s += _READ_S + _READ_LINE_S * len(output)
    lines.append(_text("$", len(lines), "p", time_s))
    return _framed(lines)


def _error(text: str) -> str:
    return " e" if text.startswith("rundlet: ") else ""


def _typed(command: str, row: int, start_s: float, typing_s: float) -> str:
    """A command that is typed: a cover of the background's colour moves off it in steps."""
    count = len(command)
    x, y = _MARGIN + 2 * _LETTER, _baseline(row)
    cover = (
        f'<rect class="c" x="{x:.1f}" y="{y - 15}" width="{count * _LETTER + 8:.0f}" height="19"'
        f' style="animation:t {typing_s:.2f}s steps({count}) {start_s:.2f}s both"/>'
    )
    return f"{_text('$', row, 'p', start_s - 0.5)}{_place(command, x, y, 'k')}{cover}"


def _text(text: str, row: int, kind: str, start_s: float) -> str:
    return _place(text, _MARGIN, _baseline(row), kind, f' style="animation-delay:{start_s:.2f}s"')


def _place(text: str, x: float, y: int, kind: str, style: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}"{style}>{escape(text)}</text>'


def _baseline(row: int) -> int:
    return _BAR + 24 + row * _LINE


def _framed(lines: list[str]) -> str:
    width = round(2 * _MARGIN + COLUMNS * _LETTER)
    height = _baseline(len(lines)) + 4
    dots = "".join(f'<circle cx="{22 + 18 * n}" cy="19" r="5.500"/>' for n in range(3))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>A terminal session with rundlet</title>
<style>
text {{ font: {_SIZE}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
text {{ white-space: pre; }}
.k {{ fill: #f3f5f6; font-weight: 600; }}
.o, .p {{ fill: #aeb8bd; animation: s .01s both; }}
.p {{ fill: #5cc4c9; }}
.e {{ fill: #ffb0a8; }}
.c {{ fill: #16181a; scale: 0 1; transform-box: fill-box; transform-origin: 100% 0; }}
@keyframes s {{ from {{ opacity: 0; }} }}
@keyframes t {{ from {{ scale: 1 1; }} to {{ scale: 0 1; }} }}
@media (prefers-reduced-motion: reduce) {{ text, .c {{ animation: none !important; }} }}
</style>
<rect width="{width}" height="{height}" rx="9" fill="#16181a"/>
<g fill="#3a4146">{dots}</g>
{chr(10).join(lines)}
</svg>
"""


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(drawn(session()))


if __name__ == "__main__":
    main()
