"""Compare servers over HTTP: ``systems`` starts them, ``load`` and ``wrk`` send the requests."""
