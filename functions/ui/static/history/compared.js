// The difference of two versions: by line and word for text, by size and hash for bytes.

import { h } from "../core/dom.js";
import { count, size } from "../core/format.js";
import { comparedTexts } from "../edit/compared.js";
import { isText, loadValue, textOf, WHOLE_BYTES } from "../value/loading.js";

const TEXT_BYTES = 1_048_576;

/** Return a view of the difference of two versions of a key. */
export async function comparedVersions(key, older, newer) {
  if (older.size > WHOLE_BYTES || newer.size > WHOLE_BYTES) return h("p", { class: "muted" }, `${size(older.size)} and ${size(newer.size)}: too large to compare here.`);
  const [before, after] = await Promise.all([older, newer].map(({ revision }) => loadValue(key, { rev: revision, count: Infinity })));
  const isSmall = before.size <= TEXT_BYTES && after.size <= TEXT_BYTES;
  const type = before.type !== after.type && h("p", { class: "hint" }, `The type changed from ${before.type} to ${after.type}.`);
  if (isSmall && isText(before.bytes) && isText(after.bytes)) return h("div", { class: "stack" }, type, comparedTexts(textOf(before.bytes), textOf(after.bytes)));
  return h("div", { class: "stack" }, type, await comparedBytes(before, after));
}

async function comparedBytes(before, after) {
  const [first, second] = await Promise.all([before, after].map(({ bytes }) => hashOf(bytes)));
  const row = (name, value, hash) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, `${count(value.size)} bytes`), h("td", { class: "mono" }, hash));
  return h("table", { class: "hashes" }, h("thead", {}, h("tr", {}, ["", "Size", "SHA-256"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, row("Old", before, first), row("New", after, second)));
}

/** Browsers hash for pages over HTTPS, and of this machine, only. */
async function hashOf(bytes) {
  if (!globalThis.crypto?.subtle) return "needs HTTPS";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
