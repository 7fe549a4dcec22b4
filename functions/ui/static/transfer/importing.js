// Import of a file: dropped or chosen, looked at first, then sent with its progress.

import { ApiError, BASE, queryText } from "../core/api.js";
import { button, field, fill, h } from "../core/dom.js";
import { count, counted, size, visible } from "../core/format.js";
import { limit } from "../core/server.js";
import { token } from "../core/session.js";
import { copyMenu } from "../shell/copying.js";
import { formatOf, preview } from "./preview.js";

const FORMATS = [["text", "Lines: a UUID, a space, the value"], ["jsonl", "JSON lines"], ["csv", "CSV"], ["cbor-seq", "CBOR sequence"]];
const CONFLICTS = [["replace", "Replace values that are there"], ["skip", "Skip keys that are there"], ["fail", "Stop at a key that is there"]];
const VALUE_CHARACTERS = 120;

/** Takes a file, shows what it holds, and sends it. */
export class ImportPanel {
  constructor() {
    const input = h("input", { type: "file", class: "offscreen", tabindex: "-1", "aria-label": "File to import", on: { change: () => input.files[0] && this.take(input.files[0]) } });
    this.drop = h("button", { type: "button", class: "drop", on: { click: () => input.click() } }, h("strong", {}, "Drop a file here, or choose one"), h("span", { class: "hint" }, "JSON lines, CSV, a CBOR sequence, or lines of text; each may be compressed with gzip."));
    this.format = h("select", { class: "input", on: { change: () => this.look() } }, FORMATS.map(([value, label]) => h("option", { value }, label)));
    this.conflict = h("select", { class: "input" }, CONFLICTS.map(([value, label]) => h("option", { value }, label)));
    this.anyKey = h("input", { type: "checkbox", on: { change: () => this.look() } });
    this.details = h("div", { class: "stack" });
    this.element = h("section", { class: "card" }, h("div", { class: "card-head" }, h("h3", {}, "Import"), copyMenu(() => this.described())), this.drop, input, this.details);
    for (const name of ["dragover", "dragleave", "drop"]) this.element.addEventListener(name, (event) => this.dragged(event));
  }

  described() {
    return { act: "import", file: this.file?.name ?? "FILE.jsonl", format: this.file ? this.format.value : "jsonl", conflict: this.conflict.value };
  }

  dragged(event) {
    event.preventDefault();
    this.drop.classList.toggle("is-over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
  }

  close() {
    this.looking?.abort();
    this.request?.abort();
  }

  async take(file) {
    this.file = file;
    this.format.value = formatOf(file.name, new Uint8Array(await file.slice(0, 4096).arrayBuffer()));
    this.look();
  }

  /** Show the first rows and the bad lines. */
  async look() {
    if (!this.file) return;
    this.looking?.abort();
    const looking = (this.looking = new AbortController());
    const { file } = this;
    const bar = h("progress", { class: "progress", max: "1", value: "0", "aria-label": "Reading the file" });
    fill(this.details, this.options(), bar);
    try {
      const found = await preview(file, this.format.value, { anyKey: this.anyKey.checked, signal: looking.signal, onProgress: (share) => (bar.value = share) });
      if (!looking.signal.aborted) this.showPreview(found);
    } catch (error) {
      if (!looking.signal.aborted) fill(this.details, this.options(), h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  options() {
    return [
      h("p", {}, h("strong", {}, this.file.name), `, ${size(this.file.size)}`),
      h("div", { class: "form-row" }, field("Format", this.format), field("Keys that are there", this.conflict)),
      this.format.value === "text" && h("label", { class: "inline" }, this.anyKey, "Keys need not be UUIDs"),
    ];
  }

  showPreview(found) {
    const most = limit("import_body_bytes_max", Infinity);
    const isTooLarge = this.file.size > most;
    const act = button(found?.badCount ? "Import up to the first bad line" : "Import", () => this.start(), { class: "primary" });
    act.disabled = isTooLarge;
    fill(
      this.details,
      this.options(),
      found ? previewOf(found) : h("p", { class: "muted" }, "This kind of file has no preview."),
      isTooLarge && h("p", { class: "problem" }, `A request may carry ${size(most)}. Use rundlet import, which sends a file in parts.`),
      h("div", { class: "card-actions" }, act, button("Another file", () => this.reset(), { class: "quiet" })),
    );
  }

  reset() {
    this.file = null;
    fill(this.details);
  }

  /** Send it; only XMLHttpRequest tells how much of a body is sent. */
  start() {
    const bar = h("progress", { class: "progress", max: "1", value: "0", "aria-label": "Importing" });
    const words = h("span", { role: "status" }, "Sending…");
    const request = (this.request = new XMLHttpRequest());
    const query = { format: this.format.value, on_conflict: this.conflict.value, any_key: this.format.value === "text" && this.anyKey.checked ? "true" : "" };
    request.open("POST", new URL(`v1/import${queryText(query)}`, BASE));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    if (/\.gz$/i.test(this.file.name)) request.setRequestHeader("Content-Encoding", "gzip");
    if (token()) request.setRequestHeader("Authorization", `Bearer ${token()}`);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      fill(words, loaded < total ? `${size(loaded)} of ${size(total)}` : "Sent; the server stores it…");
    });
    request.addEventListener("loadend", () => this.ended(request));
    fill(this.details, this.options(), h("div", { class: "sub-row flat" }, bar, words, button("Stop", () => request.abort(), { class: "quiet" })));
    request.send(this.file);
  }

  ended(request) {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // No answer, or one of a proxy.
    }
    const again = h("div", { class: "card-actions" }, button("Another file", () => this.reset()));
    if (request.status === 200) {
      const skipped = answer.skipped ? `, skipped ${count(answer.skipped)}` : "";
      return fill(this.details, h("div", { class: "banner good" }, `Imported ${counted(answer.imported, "key")}${skipped}; revision ${count(answer.revision)}.`), again);
    }
    const error = request.status ? new ApiError(request.status, answer) : { message: "The import was stopped before its end." };
    const stored = answer.imported !== undefined && `${counted(answer.imported, "key")} before line ${count(answer.line)} ${answer.imported === 1 ? "is" : "are"} stored.`;
    return fill(this.details, this.file && this.options(), h("div", { class: "banner bad", role: "alert" }, error.message, stored && h("div", {}, stored)), h("div", { class: "card-actions" }, button("Try again", () => this.look()), button("Another file", () => this.reset(), { class: "quiet" })));
  }
}

function previewOf({ lines, rows, bad, badCount, isWhole }) {
  const cut = (text) => (text.length > VALUE_CHARACTERS ? `${text.slice(0, VALUE_CHARACTERS)}…` : text);
  return h(
    "div",
    { class: "stack" },
    h("p", {}, `${counted(lines, "line")}${isWhole ? "" : " in the first part"}, ${badCount ? `${count(badCount)} of them bad` : "none of them bad"}.`),
    badCount > 0 && h("ul", { class: "sample bad-lines" }, bad.map(({ line, reason }) => h("li", {}, h("span", { class: "mono" }, `line ${count(line)}`), ` ${reason}`)), badCount > bad.length && h("li", {}, `and ${count(badCount - bad.length)} more`)),
    rows.length > 0 && h("table", { class: "versions preview" }, h("thead", {}, h("tr", {}, ["Key", "Type", "Value"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map(({ key, type, value }) => h("tr", {}, h("td", { class: "mono" }, visible(cut(key))), h("td", {}, type), h("td", { class: "mono" }, visible(cut(value))))))),
  );
}
