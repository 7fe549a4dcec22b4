"""Bugs that ``test_mutants`` plants in the code, by what they break; ``mutant`` is what one is."""
