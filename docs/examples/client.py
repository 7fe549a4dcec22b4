"""Rundlet with its Python client: a queue that several workers can share.

Each job is one key. A worker claims a job with a condition, so that no other worker has it, and a
time to live, so that the job becomes free again if the worker dies.

Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names.
"""

# ruff: noqa: T201 -- an example for people prints

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from rundlet import Add, Client, Condition, Conflict, Delete, Put

CLAIM_S = 30.0


def claim(client: Client, worker: str) -> str | None:
    """The key of a job that is this worker's now; ``None`` when no job is free."""
    for info in client.scan(prefix="jobs/"):
        claimed = "claims/" + info.key
        try:
            client.txn(
                [Put(claimed, worker.encode(), ttl=CLAIM_S)],
                conditions=[
                    Condition(info.key, exists=True),
                    Condition(claimed, exists=False),
                ],
            )
        except Conflict:
            continue  # done meanwhile, or claimed by another worker
        return info.key
    return None


def finish(client: Client, job: str) -> None:
    """Remove a job and count it, all or none."""
    client.txn([Delete(job), Delete("claims/" + job), Add("finished", 1)])


def work(worker: str) -> int:
    """Do jobs until there is none; how many."""
    count = 0
    with Client(os.environ.get("RUNDLET_URL", "http://127.0.0.1:8000")) as client:
        while (job := claim(client, worker)) is not None:
            finish(client, job)
            count += 1
    return count


def main() -> None:
    """Queue twelve jobs and let three workers do them."""
    with Client(os.environ.get("RUNDLET_URL", "http://127.0.0.1:8000")) as client:
        client.txn([Put(f"jobs/{number:03}", b"fill a cask") for number in range(12)])
        with ThreadPoolExecutor(3) as pool:
            counts = list(pool.map(work, ["ann", "bob", "eve"]))
        print(f"{sum(counts)} jobs done, {client.get_bytes('finished')!r} counted")
    print("done")


if __name__ == "__main__":
    main()
