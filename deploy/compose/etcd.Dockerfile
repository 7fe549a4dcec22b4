# etcd 3.5.16 of Debian 13. Rundlet needs 3.5.16 or newer: older releases have had faults that lose writes.
FROM debian:13-slim
# Debian corrects faults without another version of etcd, so the version is not pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends etcd-client etcd-server \
    && rm -rf /var/lib/apt/lists/*
USER etcd
EXPOSE 2379 2380
ENTRYPOINT ["etcd"]
