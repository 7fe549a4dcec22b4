"""The methods of ``Client`` and ``AsyncClient``, side by side: each runs one operation."""
