#!/usr/bin/env bash
# Rundlet with curl. Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names.
set -euo pipefail

rundlet=${RUNDLET_URL:-http://127.0.0.1:8000}
text='Content-Type: text/plain; charset=utf-8'
json='Content-Type: application/json'

# Without a content type, curl sends that of a form, and Rundlet stores it. So name the type.
curl --fail-with-body -sS -X PUT -H "$text" --data-binary 'oak' "$rundlet/v1/kv/cask/wood"
curl --fail-with-body -sS -X PUT --upload-file "$0" "$rundlet/v1/kv/cask/script"
curl --fail-with-body -sS "$rundlet/v1/kv/cask/wood"
echo

# A key is the rest of the path, percent-encoded where necessary.
curl --fail-with-body -sS -X PUT -H "$text" --data-binary 'a key' "$rundlet/v1/kv/50%25%3F"
curl --fail-with-body -sS "$rundlet/v1/keys?prefix=50%25" && echo

# Write only if the key has no value yet: 412 means that it has one.
status=$(curl -sS -o /dev/null -w '%{http_code}' -X PUT -H 'If-None-Match: *' \
    --data-binary 'elm' "$rundlet/v1/kv/cask/wood")
[ "$status" = 412 ]

# Read, change, and write back only if there was no other write in between.
etag=$(curl --fail-with-body -sS -D - -o /dev/null "$rundlet/v1/kv/cask/wood" |
    tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
curl --fail-with-body -sS -X PUT -H "If-Match: $etag" -H "$text" --data-binary 'ash' \
    "$rundlet/v1/kv/cask/wood"

# Several writes, all or none.
curl --fail-with-body -sS -H "$json" "$rundlet/v1/txn" --data-binary '{
    "if":   [{"key": "cask/wood", "exists": true}],
    "then": [{"op": "add", "key": "cask/count", "by": 1},
             {"op": "put", "key": "cask/seen", "text": "yes", "ttl": 60},
             {"op": "delete", "key": "cask/script"}]}' && echo

curl --fail-with-body -sS -X DELETE "$rundlet/v1/kv/cask/wood"
echo done
