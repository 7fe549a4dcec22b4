"""The store of a name in an etcd cluster, for which one machine may die.

``cluster`` speaks to etcd (``proto`` has the messages), ``layout`` defines keys and bytes.
``views``, ``reads``, ``lists``, ``counts``, ``past``, ``feed`` and ``stream`` answer questions;
``planning`` decides what a transaction writes, ``commits`` writes it, under the counters of
``slots``; ``watching`` waits for commits, ``retention`` and ``tidying`` drop what is not needed;
``store`` joins them.
"""
