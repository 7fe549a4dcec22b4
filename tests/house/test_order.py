"""Test in which order the tests themselves run."""

from __future__ import annotations


def test_slow_tests_run_first(request):
    are_slow = [item.get_closest_marker("slow") is not None for item in request.session.items]

    assert are_slow == sorted(are_slow, reverse=True)
