"""Test in which order the tests themselves run."""

from __future__ import annotations

import pytest


def test_slow_tests_run_first_where_several_processes_share_them(request):
    if not hasattr(request.config, "workerinput"):
        pytest.skip("one process runs all tests")
    are_slow = [item.get_closest_marker("slow") is not None for item in request.session.items]

    assert are_slow == sorted(are_slow, reverse=True)
