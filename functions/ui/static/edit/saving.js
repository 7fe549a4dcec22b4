// Writes of one key. Each says what it expects to be there, so none overwrites unseen.

import { keyPath, postJson, send } from "../core/api.js";
import { loadValue } from "../value/loading.js";

/** Store a value: over the revision of `etag`, or as a new key if there is none. Throws ApiError 412 on a conflict. */
export async function saveValue(key, { body, type, ttl, etag, meta = [] }) {
  const headers = { ...(type && { "Content-Type": type }), ...(etag ? { "If-Match": etag } : { "If-None-Match": "*" }) };
  for (const [name, text] of meta) headers[`KV-Meta-${name}`] = text;
  const query = { ttl: ttl === null || ttl === undefined ? "" : String(ttl) };
  const answer = await send(keyPath("kv", key), { method: "PUT", query, headers, body });
  return { etag: answer.headers.get("ETag"), revision: Number(answer.headers.get("KV-Revision")) };
}

/** Return what a key holds now, as a whole; null if it has no value. */
export async function currentValue(key) {
  try {
    return await loadValue(key, { count: Infinity });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Add to a counter, in one step on the server. */
export function addTo(key, by) {
  return postJson("v1/txn", { then: [{ op: "add", key, by }] });
}
