"""``rundlet import`` and ``rundlet export``.

``command`` holds both; ``formats`` tells the formats apart, ``jsonlines`` and ``textlines``
read and write them, ``loading`` sends rows on in batches, ``textload`` loads a key-value text
file.
"""
