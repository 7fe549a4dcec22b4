"""The row of the setting for idempotent writes."""

from __future__ import annotations

from dataclasses import dataclass

from rundlet_server.functions.settings.kinds import Duration
from rundlet_server.functions.settings.limits import LIMITS_PANEL
from rundlet_server.functions.settings.rows import Setting, setting
from rundlet_server.storage.bounds import IDEMPOTENCY_S_DEFAULT, IDEMPOTENCY_S_MAX


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """The setting for idempotent writes, which ``/v1`` shows."""

    idempotency_s: float = setting(
        float(IDEMPOTENCY_S_DEFAULT),
        Setting(
            Duration(may_be_zero=False, most=IDEMPOTENCY_S_MAX),
            "How long the outcome of a write with an Idempotency-Key is remembered. It takes space"
            " in the store for that time.",
            variable="RUNDLET_IDEMPOTENCY_TIME",
            option="--idempotency-time",
            panel=LIMITS_PANEL,
            used_by="functions",
        ),
    )
