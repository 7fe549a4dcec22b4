"""The HTTP API: stateless Falcon functions over a ``storage.Store``.

A request enters in ``app.py``; ``target.py`` finds its route and its key in the raw request
target; one resource answers it: ``values.py`` (one value), ``lists.py`` (keys in order),
``batches.py`` (mget and txn), ``service.py`` (everything about the server itself). Whatever
goes wrong ends in ``problems.py``.
"""
