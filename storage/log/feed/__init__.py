"""The feed: reads the log forward, from a revision on, as events.

``feed`` finds the place in the log and reads from there; ``page`` decodes the records and decides
where a page ends.
"""
