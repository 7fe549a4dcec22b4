"""Requests that wait for commits: the change feed, and one key that is waited for.

``places`` bounds how many wait at a time; ``waiting`` is where they sleep; ``reading``
reads the feed page by page within bounds on memory; ``events`` gives events the form of answers;
``stream`` joins these to an answer that goes on. ``connection`` is what a server tells of the
connection of a request. How they sleep is the server's matter (``functions.waits``): with an event
loop, they share one reader of the log.
"""
