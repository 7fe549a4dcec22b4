"""A PostgreSQL database as a store: ``psycopg`` and plain SQL that other databases speak, too.

``schema`` draws the tables, ``connections`` keeps connections and turns their errors into ours,
``deciding`` decides transactions, ``writing`` commits them, ``reading`` reads at any moment,
``timeline`` has history and changes, ``retention`` drops what is no longer kept, ``keeper`` is the
thread that does the background work. ``store`` joins them.
"""
