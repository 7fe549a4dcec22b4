"""Tests of what lets other packages use Rundlet, by their own test suites where they have one."""
