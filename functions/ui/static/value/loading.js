// Read a value, or its beginning, with everything that the answer says of it.

import { ApiError, keyPath, send } from "../core/api.js";

/** How much of a value is read at first. */
export const PIECE_BYTES = 65_536;
/** Up to this size, a value is shown as a whole if its kind needs that. */
export const WHOLE_BYTES = 33_554_432;

const HTML_SAFE = /^(?:image\/(?:png|jpeg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon|svg\+xml)|audio\/[\w.+-]+|video\/[\w.+-]+|application\/pdf)$/;

/** Return a value as `{bytes, size, type, etag, revision, version, modified, expires, meta}`. */
export async function loadValue(key, { rev, at, first = 0, count = PIECE_BYTES, signal } = {}) {
  const range = count === Infinity ? {} : { Range: `bytes=${first}-${first + count - 1}` };
  let answer;
  try {
    answer = await send(keyPath("kv", key), { query: { rev, at }, headers: range, signal });
  } catch (error) {
    // An empty value has no range.
    if (!(error instanceof ApiError) || error.status !== 416 || first > 0) throw error;
    answer = await send(keyPath("kv", key), { query: { rev, at }, signal });
  }
  const { headers } = answer;
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const whole = /\/(\d+)$/.exec(headers.get("Content-Range") ?? "");
  return {
    bytes,
    size: whole ? Number(whole[1]) : bytes.length,
    type: headers.get("Content-Type") ?? "application/octet-stream",
    etag: headers.get("ETag"),
    revision: Number(headers.get("KV-Revision")),
    version: Number(headers.get("KV-Version")),
    modified: headers.get("Last-Modified"),
    expires: headers.get("KV-Expires"),
    meta: [...headers].filter(([name]) => name.startsWith("kv-meta-")).map(([name, value]) => [name.slice(8), value]),
  };
}

/** Return how a value is shown: text, json, image, audio, video, pdf, or bytes. */
export function kindOf({ type, bytes }) {
  const media = type.split(";")[0].trim().toLowerCase();
  if (media === "application/json" || media.endsWith("+json")) return isText(bytes) ? "json" : "bytes";
  if (HTML_SAFE.test(media)) return media === "application/pdf" ? "pdf" : media.split("/")[0];
  if (media.startsWith("text/") || /^application\/(?:xml|yaml|toml|x-ndjson|jsonl|javascript|sql)$/.test(media) || media.endsWith("+xml")) return isText(bytes) ? "text" : "bytes";
  // Many programs store text without a type; curl -d names the type of a form.
  return /^application\/(?:octet-stream|x-www-form-urlencoded)$/.test(media) && bytes.length > 0 && isText(bytes) && !/[\u0000-\u0008\u000e-\u001f]/.test(textOf(bytes)) ? "text" : "bytes";
}

/** Return the text of bytes; what a cut at the end leaves of a character is left out. */
export function textOf(bytes) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, wholeEnd(bytes)));
}

/** Return whether bytes are UTF-8, except for a character that is cut at the end. */
export function isText(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, wholeEnd(bytes)));
    return true;
  } catch {
    return false;
  }
}

/** Where the last whole character ends, if the bytes end within one. */
function wholeEnd(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
