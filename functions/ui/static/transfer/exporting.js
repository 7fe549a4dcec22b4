// Export to a file: straight to the disk where the browser can, else through memory.

import { isAbort, send } from "../core/api.js";
import { button, fill, h } from "../core/dom.js";
import { count, size } from "../core/format.js";

const ENDINGS = { jsonl: "jsonl", csv: "csv", "cbor-seq": "cbor" };

/** Export keys; `state` shows how far it is, and how it ended. */
export async function exportFile({ prefix, format }, state) {
  const aborting = new AbortController();
  const name = `${(prefix || "rundlet").replace(/[^\w.-]+/g, "_").replace(/^_|_$/g, "") || "rundlet"}.${ENDINGS[format]}`;
  const words = h("span", {}, "Exporting…");
  fill(state, h("div", { class: "sub-row flat" }, h("progress", { class: "progress", "aria-label": "Exporting" }), words, button("Stop", () => aborting.abort(), { class: "quiet" })));
  try {
    const file = await fileOf(name);
    const answer = await send("v1/export", { query: { prefix, format }, signal: aborting.signal });
    const bytes = await copy(answer.body.getReader(), file, (done) => fill(words, size(done)));
    await file.close();
    fill(state, h("p", {}, `Exported ${size(bytes)} of revision ${count(Number(answer.headers.get("KV-Revision")))} to ${name}.`));
  } catch (error) {
    fill(state, isAbort(error) ? h("p", { class: "muted" }, "Stopped.") : h("p", { class: "problem", role: "alert" }, error.message));
  }
}

async function copy(reader, file, onProgress) {
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes;
    await file.write(value);
    bytes += value.length;
    onProgress(bytes);
  }
}

/** Where the bytes go: a file that the user chooses, where there is such a picker; else a download. */
async function fileOf(name) {
  if (window.showSaveFilePicker && window.isSecureContext && !navigator.webdriver && matchMedia("(pointer: fine)").matches) {
    const handle = await window.showSaveFilePicker({ suggestedName: name });
    return handle.createWritable();
  }
  const parts = [];
  return {
    write: async (part) => parts.push(part),
    close: async () => {
      const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    },
  };
}
