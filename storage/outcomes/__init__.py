"""Outcomes of transactions, and how a store remembers them.

A transaction with an idempotency key writes its outcome in its own commit, as a record that no read
of keys shows. A later transaction with the same key is not decided: it gets that outcome, or is
refused if its request differs.

A store looks for the outcome before it evaluates conditions, and commits only if there is none. So
if two such requests come at once, one is done, and the other gets its outcome. A transaction that
changes nothing makes no commit, and leaves no outcome.
"""
