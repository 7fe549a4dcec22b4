"""Test which lines of a text file are valid, and that many are checked like one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.textfile import parsing
from rundlet_server.storage.textfile.lines import (
    BadFile,
    BadLine,
    LineError,
    content_type_of,
    split_line,
)
from rundlet_server.storage.textfile.parsing import parse_lines

UUID = b"3479d894-3271-4935-88cf-a06f3cbb80a5"
LIMITS = Limits(key_bytes_max=50, value_bytes_max=100)

GOOD_VALUES = [
    pytest.param(b"this is a value", id="words"),
    pytest.param(b"", id="empty"),
    pytest.param(b"   ", id="spaces only"),
    pytest.param(b" led by a space", id="leading space"),
    pytest.param(b"followed by a space ", id="trailing space"),
    pytest.param(b"windows\r", id="carriage return"),
    pytest.param(b"\r", id="carriage return only"),
    pytest.param(b"a\rb\x0bc\x0cd\x85e\xe2\x80\xa8f", id="other line ends"),
    pytest.param(b"\0", id="NUL"),
    pytest.param(b"\xff\xfe\xc3", id="invalid UTF-8"),
    pytest.param("žluťoučký 🐎".encode(), id="UTF-8"),
    pytest.param(b"v" * 100, id="as long as allowed"),
]

BAD_UUID_LINES = [
    pytest.param(b"", "the line is empty", id="empty"),
    pytest.param(b"\r", "'\\r' is not a UUID", id="carriage return"),
    pytest.param(b" ", "there is no key in front of the space", id="space"),
    pytest.param(b" " + UUID + b" v", "there is no key in front of the space", id="indented"),
    pytest.param(UUID, "there is no space after the key", id="no space"),
    pytest.param(UUID + b"\tv", "a tab follows the key", id="tab"),
    pytest.param(UUID[:-1] + b" v", "is not a UUID", id="too short"),
    pytest.param(UUID + b"0 v", "is not a UUID", id="too long"),
    pytest.param(UUID.upper() + b" v", "capital letters", id="capitals"),
    pytest.param(UUID[:-1] + b"A v", "capital letters", id="one capital"),
    pytest.param(UUID[:-1] + b"g v", "is not a UUID", id="not hexadecimal"),
    pytest.param(UUID.replace(b"-4935", b"-1935") + b" v", "not of version 4", id="version 1"),
    pytest.param(UUID.replace(b"-88cf", b"-78cf") + b" v", "not of version 4", id="variant 7"),
    pytest.param(UUID.replace(b"-88cf", b"-c8cf") + b" v", "not of version 4", id="variant c"),
    pytest.param(b"{" + UUID + b"} v", "is not a UUID", id="braces"),
    pytest.param(UUID.replace(b"-", b"") + b" v", "is not a UUID", id="no dashes"),
    pytest.param(b"\xef\xbb\xbf" + UUID + b" v", "is not a UUID", id="byte order mark"),
    pytest.param(b"name v", "'name' is not a UUID", id="a word"),
    pytest.param(b"\xff\x1b[0m v", "'\\xff\\x1b[0m' is not a UUID", id="unprintable"),
    pytest.param(b"n" * 60 + b" v", "n' ... is not a UUID", id="long word"),
    pytest.param(UUID + b" " + b"v" * 101, "longer than 100 bytes", id="long value"),
    pytest.param(b'{"key": "a", "text": "1"}', "the line is JSON", id="JSON"),
]

GOOD_KEYS = [
    pytest.param(b"a", id="letter"),
    pytest.param(UUID, id="UUID"),
    pytest.param(UUID.upper(), id="capitals"),
    pytest.param("ključ/🔑".encode(), id="UTF-8"),
    pytest.param(b"\0", id="NUL"),
    pytest.param(b"a\tb", id="tab"),
    pytest.param(b"a\r", id="carriage return"),
    pytest.param(b"{name}", id="braces"),
    pytest.param(b'{"name"}', id="braces and quotes"),
    pytest.param(b"[name]", id="brackets"),
    pytest.param(b"../..", id="dots"),
    pytest.param(b"k" * 50, id="as long as allowed"),
]

JSON_REASON = (
    "the line is JSON, not a key, a space and a value; rundlet import --format jsonl loads JSON"
    " lines"
)

BAD_ANY_KEY_LINES = [
    pytest.param(b"", "the line is empty", id="empty"),
    pytest.param(b" v", "there is no key in front of the space", id="no key"),
    pytest.param(b"word", "there is no space after the key", id="no space"),
    pytest.param(b"\xff v", "the key is not valid UTF-8", id="invalid UTF-8"),
    pytest.param(b"\xed\xa0\x80 v", "the key is not valid UTF-8", id="surrogate"),
    pytest.param(b"k" * 51 + b" v", "the key is longer than 50 bytes", id="long key"),
    pytest.param(b"k " + b"v" * 101, "the value is longer than 100 bytes", id="long value"),
    *(
        pytest.param(line, JSON_REASON, id=line.decode())
        for line in (
            b'{"key": "a", "text": "1"}',
            b'{"key":"a b","text":"1"}',
            b'{ "\\"": 1 }\r',
            b'[{"key": "a"}, {"key": "b"}]',
            b'{"key": "a"},',
        )
    ),
]


def parsed(path, content, *, any_key=False, limits=LIMITS):
    """The good lines as pairs, and (number, reason) of the first bad ones, and their count."""
    path.write_bytes(content)
    file = RealFiles().open(path, writable=False)
    pairs, errors, bad = [], [], 0
    for lines in parse_lines(file, path, any_key=any_key, limits=limits):
        pairs += [(lines.data[a:b], lines.data[b + 1 : c]) for a, b, c in lines]
        errors += [(error.number, error.reason) for error in lines.first_errors]
        bad += lines.bad
    return pairs, errors, bad


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.data"


@pytest.mark.parametrize("value", GOOD_VALUES)
@pytest.mark.parametrize("any_key", [False, True])
def test_value_is_every_byte_up_to_the_newline(path, value, any_key):
    line = UUID + b" " + value

    assert split_line(line, any_key=any_key, limits=LIMITS) == (UUID, value)
    for end in (b"\n", b""):
        assert parsed(path, line + end, any_key=any_key) == ([(UUID, value)], [], 0)


@pytest.mark.parametrize(("line", "reason"), BAD_UUID_LINES)
def test_bad_line_is_refused_with_a_reason(path, line, reason):
    with pytest.raises(LineError) as caught:
        split_line(line, limits=LIMITS)

    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    content = UUID + b" before\n" + line + b"\n" + UUID + b" behind\n"
    pairs, errors, bad = parsed(path, content)
    assert pairs == [(UUID, b"before"), (UUID, b"behind")]
    assert (errors, bad) == ([(2, str(caught.value))], 1)


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_any_key_takes_legal_keys_without_a_space(path, key):
    assert split_line(key + b" a value", any_key=True, limits=LIMITS) == (key, b"a value")
    assert parsed(path, key + b" a value\n", any_key=True) == ([(key, b"a value")], [], 0)


@pytest.mark.parametrize(("line", "reason"), BAD_ANY_KEY_LINES)
def test_bad_line_is_refused_with_any_key_too(path, line, reason):
    with pytest.raises(LineError, match=reason):
        split_line(line, any_key=True, limits=LIMITS)

    pairs, errors, bad = parsed(path, b"k 1\n" + line + b"\nk 2", any_key=True)
    assert pairs == [(b"k", b"1"), (b"k", b"2")]
    assert (errors, bad) == ([(2, reason)], 1)


def test_empty_file_has_no_lines(path):
    assert parsed(path, b"") == ([], [], 0)


@pytest.mark.parametrize("content", [b"\n", b"\n\n\n"])
def test_empty_lines_are_bad(path, content):
    pairs, errors, bad = parsed(path, content)

    assert (pairs, errors[0], bad) == ([], (1, "the line is empty"), len(content))


def test_many_bad_lines_are_counted_and_few_are_described(path):
    _, errors, bad = parsed(path, b"bad\n" * 1_000)

    assert ([number for number, _ in errors], bad) == ([1, 2, 3, 4, 5], 1_000)


def test_errors_are_one_line_with_file_and_number():
    errors = [BadLine(Path("a/b.data"), 7, "it is wrong"), BadLine(Path("a/b.data"), 9, "so too")]

    assert str(errors[1]) == "a/b.data:9: so too"
    assert str(BadFile(1, errors[:1])) == "a/b.data:7: it is wrong; nothing was loaded"
    assert str(BadFile(2, errors)) == (
        "a/b.data:7: it is wrong (the first of 2 bad lines); nothing was loaded"
    )


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        (b"", "text/plain; charset=utf-8"),
        ("ž".encode(), "text/plain; charset=utf-8"),
        (b"\xff", "application/octet-stream"),
    ],
)
def test_valid_utf8_is_text(value, content_type):
    assert content_type_of(value) == content_type


# --- blocks --------------------------------------------------------------------------------


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr(parsing, "BLOCK_BYTES", 64)


def test_lines_of_many_blocks_are_numbered_through(path, tiny_blocks):
    lines = [UUID + b" %d" % number for number in range(1, 101)]
    lines[40] = b"bad"
    lines[99] = b"worse"

    pairs, errors, _ = parsed(path, b"\n".join(lines))

    assert pairs == [(UUID, b"%d" % number) for number in range(1, 100) if number != 41]
    assert [number for number, _ in errors] == [41, 100]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_line_longer_than_a_block_is_read_whole(path, end):
    value = bytes(range(11, 256)) * (5 * 1024 * 1024 // 245)
    content = UUID + b" a\n" + UUID + b" " + value + b"\n" + UUID + b" c" + end

    pairs, _, bad = parsed(path, content, limits=Limits())

    assert [value for _, value in pairs] == [b"a", value, b"c"]
    assert bad == 0


@pytest.mark.parametrize("end", [b"\n" + UUID + b" good\n", b"\n", b""])
def test_line_longer_than_any_good_one_is_not_held_in_memory(path, tiny_blocks, end):
    read_sizes = []

    class Watched:
        def __init__(self, file):
            self.file = file
            self.size = file.size

        def pread(self, size, offset):
            read_sizes.append(size)
            return self.file.pread(size, offset)

    path.write_bytes(UUID + b" " + b"v" * 100_000 + end)
    watched = Watched(RealFiles().open(path, writable=False))
    blocks = list(parse_lines(watched, path, limits=LIMITS))

    errors = [error for lines in blocks for error in lines.first_errors]
    assert [(error.number, error.reason) for error in errors] == [
        (1, "the value is longer than 100 bytes")
    ]
    assert sum(map(len, blocks)) == (1 if b"good" in end else 0)
    assert max(read_sizes) <= 512


def test_only_the_size_asked_for_is_read(path):
    path.write_bytes(UUID + b" 1\n" + UUID + b" 2\n")
    file = RealFiles().open(path, writable=False)

    (lines,) = parse_lines(file, path, size=len(UUID) + 3)

    assert len(lines) == 1


SNIPPETS = st.sampled_from(
    [UUID, UUID.upper(), UUID[:30], b" ", b"  ", b"\n", b"\r", b"\0", b"\xff", b"k", "ž".encode()]
)


@given(content=st.lists(SNIPPETS | st.binary(max_size=4), max_size=40), any_key=st.booleans())
def test_many_lines_are_checked_as_one_is(tmp_path_factory, content, any_key):
    content = b"".join(content)
    path = tmp_path_factory.getbasetemp() / "random.data"

    pairs, _, bad = parsed(path, content, any_key=any_key)

    expected = []
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        try:
            expected.append(split_line(line, any_key=any_key, limits=LIMITS))
        except LineError:
            continue
    assert (pairs, bad) == (expected, len(lines) - len(expected))


def test_offsets_are_places_in_the_file(path, tiny_blocks):
    content = b"".join(UUID + b" %d\n" % number for number in range(50))
    path.write_bytes(content)
    file = RealFiles().open(path, writable=False)

    blocks = list(parse_lines(file, path))

    assert b"".join(lines.data for lines in blocks) == content
    assert all(a.offset + len(a.data) == b.offset for a, b in pairwise(blocks))
