// Which keys were deleted or expired, and what they held last: read from the change feed.

import { getJson } from "../core/api.js";

const PAGE_EVENTS = 5_000;
const KEYS_MAX = 100_000;

/** Read the feed of a prefix from the oldest revision to the head. `onProgress(share)` is called after each page.
 *
 * Return `{graves, oldest, isCut}`; each of `graves` is `{key, op, time, revision, last}`, newest first, `last` the
 * revision of its last value, if the feed still has that.
 */
export async function findGraves(prefix, { onProgress, signal }) {
  const { oldest_revision: oldest, next_since: head } = await getJson("v1/changes", { prefix, limit: 1 }, signal);
  const graves = new Map();
  const values = new Map();
  let since = oldest;
  while (since < head && graves.size < KEYS_MAX) {
    const page = await getJson("v1/changes", { prefix, since, limit: PAGE_EVENTS }, signal);
    for (const event of page.events) take(event, graves, values);
    if (page.next_since <= since) break;
    since = page.next_since;
    onProgress(head > oldest ? (since - oldest) / (head - oldest) : 1);
  }
  return { graves: [...graves.values()].reverse(), oldest, isCut: graves.size >= KEYS_MAX };
}

function take({ op, key, revision, time }, graves, values) {
  // Deleted again is newest again: a map keeps the order in which keys were put in.
  graves.delete(key);
  if (op === "put" || op === "restore") values.set(key, revision);
  else if (op === "erase") values.delete(key);
  else graves.set(key, { key, op, time, revision, last: values.get(key) });
}
