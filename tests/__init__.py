"""The tests, in one folder for each part of the product.

``engine``, ``textfile``, ``http``, ``server``, ``client`` and ``cli`` test the part that they are
named after. ``faults`` holds the campaigns that inject faults, ``memory`` tests what bounds memory,
``operations`` what an operator is told, ``acceptance`` whole servers under load and ``kill -9``;
``house`` tests the source and the documents, ``support`` holds shared helpers.
"""
