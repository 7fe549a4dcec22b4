#!/usr/bin/env bash
# A restore drill: back up new data, verify the backups, restore the newest, verify and read it.
# It changes nothing but the directory of the backups. Run it by cron, and look at its exit code.
# usage: restore-drill.sh [DIR]    of the server that RUNDLET_URL names
set -euo pipefail

backups=${1:-drill-backups}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
began=$(date +%s)

rundlet backup "$backups"
rundlet verify --backup "$backups"
rundlet restore "$backups" --to "$scratch/data"
rundlet verify --data "$scratch/data"

# Read every value, and count: a store that lost most of its keys is not what you want to restore.
keys=$(rundlet export --data "$scratch/data" | wc -l)
echo "read $keys keys"
[ "$keys" -ge "${KEYS_MIN:-1}" ]

echo "a restore takes $(($(date +%s) - began)) seconds"
echo done
