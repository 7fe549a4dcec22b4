"""Outcomes of transactions, and how a store remembers them.

A transaction with an idempotency key writes its outcome in its own commit, as a record that no read
of keys shows. Another one with the same key is not decided: it gets that outcome, or is refused if
it is another request.

A store looks for the outcome before it judges conditions, and commits only if there is none: so of
two requests at once one is done, and the other gets its outcome. What changes nothing makes no
commit, and leaves no outcome.
"""
