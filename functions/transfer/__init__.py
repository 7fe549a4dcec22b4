"""Exports and imports: keys and values as JSON lines, CSV, a CBOR sequence, or lines of text.

It knows nothing of HTTP, so that the command line shares it. ``formats`` names the formats;
``writing`` encodes the entries of a store, which ``exporting`` reads page by page. ``reading`` cuts
a stream of bytes into rows, with ``json_rows``, ``csv_rows``, ``cbor_rows`` and ``text_rows`` for
the formats; ``importing`` stores them in batches. ``gzipped`` compresses and decompresses streams;
``cbor`` encodes objects of one shape.
"""
