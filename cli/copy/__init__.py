"""``rundlet copy``: copy a store to another one, and follow its changes until a cut-over.

``sides`` says what a copy needs of the two stores; ``stores`` and ``servers`` give it. ``notes``
remembers how far a copy has come, ``loading`` copies one snapshot, ``replaying`` the changes since,
``verifying`` compares. ``copying`` does them in order, ``following`` goes on until it is stopped.
"""
