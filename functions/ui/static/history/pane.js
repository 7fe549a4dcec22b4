// The versions of a key: look at one, compare any two, restore one with a click.

import { getJson, isAbort, keyPath, postJson } from "../core/api.js";
import { button, fill, h } from "../core/dom.js";
import { ago, count, moment, size } from "../core/format.js";
import { fragmentOf } from "../core/places.js";
import { isWritable } from "../core/server.js";
import { emptiness, failure, notify, showLoading } from "../shell/dialogs.js";
import { comparedVersions } from "./compared.js";

const PAGE_VERSIONS = 50;

/** Shows the history of a key. `onWrite()` is called after a restore. */
export class HistoryPane {
  constructor(key, onWrite) {
    this.key = key;
    this.onWrite = onWrite;
    this.element = h("div", { class: "history" });
    this.versions = [];
  }

  async load() {
    showLoading(this.element, 4);
    this.versions = [];
    try {
      await this.more(keyPath("history", this.key), { limit: PAGE_VERSIONS });
    } catch (error) {
      if (isAbort(error)) return;
      fill(this.element, error.status === 404 ? emptiness("No history", "The store knows nothing of this key, or no longer keeps it.") : failure(error, () => this.load()));
    }
  }

  async more(path, query = {}) {
    const answer = await getJson(path, query);
    this.versions.push(...answer.versions);
    this.next = answer.next?.replace(/^\//, "");
    this.oldest = answer.oldest_revision;
    const held = this.versions.filter(hasValue);
    this.newer ??= held[0];
    this.older ??= held[1] ?? null;
    this.build();
  }

  build() {
    const rows = this.versions.map((version) => this.rowOf(version));
    this.difference = h("div", { class: "difference" });
    const more = this.next && button("Older versions", () => this.more(this.next).catch((error) => notify(error.message, { isError: true })));
    fill(
      this.element,
      h("table", { class: "versions" }, h("caption", { class: "offscreen" }, "Versions, newest first"), h("thead", {}, h("tr", {}, ["Old", "New", "Revision", "Change", "When", "Size", ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)),
      more,
      this.difference,
    );
    this.compare();
  }

  rowOf(version) {
    const { revision, op, time, size: bytes, content_type: type } = version;
    const isNow = version === this.versions[0];
    const choose = (side) =>
      hasValue(version) &&
      h("input", { type: "radio", name: `${side}-version`, checked: this[side] === version, "aria-label": `${side === "older" ? "Compare from" : "Compare to"} revision ${revision}`, on: { change: () => ((this[side] = version), this.compare()) } });
    return h(
      "tr",
      {},
      h("td", {}, choose("older")),
      h("td", {}, choose("newer")),
      h("td", { class: "number" }, hasValue(version) ? h("a", { href: fragmentOf("keys", { key: this.key, rev: revision }), title: "Look at it" }, count(revision)) : count(revision)),
      h("td", {}, h("span", { class: `op op-${op}` }, op)),
      h("td", { title: moment(time) }, ago(time)),
      h("td", { class: "number", title: type }, hasValue(version) ? size(bytes) : ""),
      h("td", {}, hasValue(version) && !isNow && isWritable() && button("Restore", () => this.restore(version), { class: "quiet", "aria-label": `Restore revision ${revision}` })),
    );
  }

  async compare() {
    const { older, newer } = this;
    if (!older || !newer) return fill(this.difference, h("p", { class: "muted" }, "There is one version with a value; with a second, their difference stands here."));
    fill(this.difference, h("p", { class: "muted", "aria-busy": "true" }, "Comparing…"));
    const shown = await comparedVersions(this.key, older, newer).catch((error) => failure(error));
    if (this.older === older && this.newer === newer) fill(this.difference, h("h3", {}, `From revision ${count(older.revision)} to ${count(newer.revision)}`), shown);
    return undefined;
  }

  /** Put a version back, unless the key was changed since this list was read. */
  async restore(version) {
    const [now] = this.versions;
    const condition = hasValue(now) ? { key: this.key, revision: now.revision } : { key: this.key, exists: false };
    try {
      await postJson("v1/txn", { if: [condition], then: [{ op: "restore", key: this.key, revision: version.revision }] });
      notify(`Restored revision ${count(version.revision)}`);
    } catch (error) {
      notify(error.status === 409 ? "The key was changed since you opened its history; nothing was restored." : error.message, { isError: true });
    }
    this.newer = this.older = undefined;
    this.onWrite();
    await this.load();
  }
}

function hasValue({ op }) {
  return op === "put" || op === "restore";
}
