"""A store under a name in an etcd cluster, which survives the loss of a machine.

``cluster`` speaks to etcd (``proto`` has the messages), ``layout`` defines keys and bytes.
``views``, ``reads``, ``lists``, ``counts``, ``past``, ``feed`` and ``stream`` answer reads;
``planning`` decides what a transaction writes, ``commits`` writes it, under the counters of
``slots``; ``watching`` waits for commits, ``retention`` and ``tidying`` drop what is not needed;
``store`` joins them.
"""
