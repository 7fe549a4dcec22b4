"""What decoding a body costs in memory: a small multiple of its size, whatever it holds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT

# Four bytes for each character of a text that holds one of the rarest ones, twice where what is
# wrong with it is looked for, and its bytes in the end. A list of empty objects took 28 times its
# size, one of empty CBOR maps 76 times, before items were counted.
MULTIPLE_MAX = 10


@pytest.mark.slow
def test_decoding_takes_a_small_multiple_of_the_size_of_a_body():
    command = [sys.executable, "-m", "tests.support.wire.body_memory"]
    ended = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=280
    )

    lines = [line.split(" ", 1) for line in ended.stdout.splitlines()]
    multiples = {name: float(multiple) for multiple, name in lines}
    assert len(multiples) == 30
    assert {name: x for name, x in multiples.items() if x > MULTIPLE_MAX} == {}
