"""Requests that wait for commits: the change feed, and one key that is waited for.

``places`` bounds how many wait at a time; ``waiting`` blocks them; ``reading``
reads the feed page by page within bounds on memory; ``events`` gives events the form of answers;
``stream`` joins these to a streamed answer. ``connection`` is the state of a request's connection,
as the server reports it. The server decides how requests wait (``functions.waits``): with an event
loop, they share one reader of the log.
"""
