"""Benchmarks: compare Rundlet with other systems at equal durability, in the same run.

``make bench`` runs all benchmarks and writes ``bench/report/``. In reading order:

* ``scale`` holds the sizes of a run; ``workload`` makes the keys, values and choices of keys;
* ``engines`` holds the embedded stores to compare; each file of ``engine`` is one question about
  them;
* ``systems`` and ``peers`` hold the servers to compare; ``load`` sends the requests; each file of
  ``http`` is one question about servers, each of ``backends`` one about other engines;
* ``conftest`` starts and stops the systems; ``recorder`` records, and ``results`` reads what was
  recorded;
* ``targets`` holds the targets; ``charts``, ``better``, ``summary`` and ``report`` write what
  people read;
* ``run`` is the command; ``publish`` copies its report into the documentation.

Each question is a pytest-benchmark module, so ``python -m bench.run -k get`` runs one alone. A run
skips a system that is not installed, and the report names it.
"""
