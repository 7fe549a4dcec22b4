"""Find the host of an address that takes writes.

libpq asks the hosts of an address one after the other. A host that is frozen, or that a network has
cut off, holds it up for seconds at each new connection. And a primary that comes back after another
one was promoted takes writes like that one. So all hosts are asked at once, and of those that take
writes the one of the newest timeline is the primary.
"""

from __future__ import annotations

import queue
import threading
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_ASK_S: Final = 3
"""A host that does not answer within this time counts as dead."""
_OTHERS_S: Final = 0.3
"""How long the other hosts have to answer after the first one that takes writes."""
# Without a transaction: each part is NULL or absent if the database is no PostgreSQL.
_TIMELINE: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE (pg_control_system()).system_identifier || '/'
    || left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""


class Hosts:
    """The hosts of one address. Any thread may use it."""

    def __init__(self, conninfo: str) -> None:
        self._each = _split(conninfo)
        self.are_several = len(self._each) > 1

    def primary(self) -> str:
        """Return the connection string of the host that takes writes, or of the only host.

        Raises:
            psycopg.OperationalError: none of several takes writes.
        """
        if not self.are_several:
            return self._each[0]
        answers: queue.SimpleQueue[tuple[str, str] | psycopg.Error] = queue.SimpleQueue()
        for each in self._each:
            threading.Thread(target=_ask, args=(each, answers), daemon=True).start()
        found: list[tuple[str, str]] = []
        reasons: list[psycopg.Error] = []
        for _ in self._each:
            try:
                answer = answers.get(timeout=_OTHERS_S if found else 2 * _ASK_S)
            except queue.Empty:
                break
            if isinstance(answer, psycopg.Error):
                reasons.append(answer)
            else:
                found.append(answer)
        if not found:
            told = "; ".join(str(each).strip().partition("\n")[0] for each in reasons)
            raise psycopg.OperationalError(told or "no host answers")
        return max(found)[1]


def timeline_of(link: psycopg.Connection) -> str:
    """Return the name of the timeline that a server writes; names of later ones are greater.

    It is empty if the server takes no writes, or is no PostgreSQL, which alone has timelines.
    """
    try:
        row = link.execute(_TIMELINE).fetchone()
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):
        return ""
    return str(row[0]) if row else ""


def is_older(timeline: str, than: str) -> bool:
    """Return whether a timeline is an older one of the same database."""
    return timeline < than and timeline.partition("/")[0] == than.partition("/")[0]


def _ask(conninfo: str, answers: queue.SimpleQueue[tuple[str, str] | psycopg.Error]) -> None:
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=_ASK_S) as link:
            answers.put((timeline_of(link), conninfo))
    except psycopg.Error as ex:
        answers.put(ex)


def _split(conninfo: str) -> list[str]:
    """Return a connection string for each host of one."""
    options = conninfo_to_dict(conninfo)
    lists = {
        name: str(options[name]).split(",")
        for name in ("host", "hostaddr", "port")
        if options.get(name) is not None
    }
    count = max((len(texts) for texts in lists.values()), default=1)
    if count == 1:
        return [conninfo]
    # A single port is used for all hosts.
    each = {name: texts * count if len(texts) == 1 else texts for name, texts in lists.items()}
    return [
        make_conninfo(conninfo, **{name: texts[number] for name, texts in each.items()})
        for number in range(count)
    ]
