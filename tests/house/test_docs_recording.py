"""Test that the recorded session shows what the commands print, and stays small."""

from __future__ import annotations

import html
import re

from docs import recording

PICTURE_BYTES_MAX = 12_000


def test_recorded_session_is_what_the_commands_print():
    shown = recording.PICTURE.read_text()

    assert recording.drawn(recording.session()) == shown, "run python docs/recording.py"


def test_recorded_session_is_small_and_fits_its_frame():
    shown = recording.PICTURE.read_text()
    texts = [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", shown)]

    assert len(shown.encode()) < PICTURE_BYTES_MAX
    assert max(map(len, texts)) <= recording.COLUMNS
    assert not re.search(r"<script|href=|@import|url\(", shown)
