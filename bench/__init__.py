"""Benchmarks: how fast Rundlet is, beside others at equal durability, in the same run.

``make bench`` runs everything and writes ``bench/report/``. In reading order:

* ``scale`` how much of everything; ``workload`` the keys, values and choices of keys;
* ``engines`` the embedded stores that are compared, ``engine`` one question about them a file;
* ``http.systems`` and ``peers`` the servers that are compared, ``http.load`` and ``http.wrk``
  what sends the requests, ``http`` one question about servers a file;
* ``conftest`` starts and ends it all and records, ``results`` reads what was recorded;
* ``targets`` what is to be reached, ``charts`` and ``report`` what people read;
* ``run`` is the command, ``publish`` copies its report into the documentation.

Each question is a pytest-benchmark module, so one of them runs alone with
``python -m bench.run -k get``. What is not installed is skipped, by name.
"""
