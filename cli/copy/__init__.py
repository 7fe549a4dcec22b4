"""``rundlet copy``: copy a store to another one, and follow its changes until a cut-over.

``sides`` is the interface of the two stores; ``stores`` and ``servers`` implement it. ``notes``
saves the progress of a copy, ``loading`` copies one snapshot, ``replaying`` the changes since then,
``verifying`` compares. ``copying`` runs these in order, ``following`` continues until stopped.
"""
