"""The store of a name in an etcd cluster, for which one machine may die.

``place`` reads the address, ``client`` speaks to the cluster (``proto`` has the messages, ``calls``
what can be called and how calls fail), ``layout`` defines keys and bytes. ``views``, ``reads``,
``lists``, ``counts``, ``past``, ``feed`` and ``stream`` answer questions; ``planning`` decides what
a transaction writes, ``commits`` writes it, under the counters of ``slots``; ``watching`` waits for
commits, ``retention`` and ``tidying`` drop what is not needed; ``store`` joins them.
"""
