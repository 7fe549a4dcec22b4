"""Servers compared over HTTP: ``systems`` starts them, ``load`` and ``wrk`` ask them."""
