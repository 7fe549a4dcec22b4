"""Tests of the formats of exports and imports, without HTTP."""
