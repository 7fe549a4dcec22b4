// The view of deleted keys of a prefix: each can be looked at and brought back.

import { getJson, isAbort, keyPath, postJson } from "../core/api.js";
import { button, fill, h, icon } from "../core/dom.js";
import { ago, count, counted, moment, visible, visibleText } from "../core/format.js";
import { offerKeys } from "../core/keyboard.js";
import { change, fragmentOf } from "../core/places.js";
import { isWritable } from "../core/server.js";
import { copyMenu } from "../shell/copying.js";
import { confirm, emptiness, failure, notify } from "../shell/dialogs.js";
import { findGraves } from "./graves.js";

const ROWS_AT_ONCE = 200;
const TYPING_MS = 250;

class DeletedView extends HTMLElement {
  connectedCallback() {
    this.className = "view deleted-view";
    this.search = h("input", { class: "input mono", type: "search", placeholder: "Prefix", "aria-label": "Prefix of the keys", spellcheck: "false", on: { input: () => this.typed() } });
    this.summary = h("span", { class: "summary", role: "status" });
    this.progress = h("progress", { class: "progress", max: "1", "aria-label": "Reading the history" });
    this.all = button("Bring all back…", () => this.restoreAll(), { class: "quiet", hidden: true });
    this.rows = h("tbody", {});
    this.message = h("div", {});
    fill(
      this,
      h("header", { class: "bar-row" }, h("div", { class: "search" }, icon("search"), this.search)),
      h("div", { class: "sub-row" }, this.summary, this.progress, h("span", { class: "spring" }), this.all, copyMenu(() => ({ act: "changes", prefix: this.options.prefix, since: this.oldest }))),
      h("div", { class: "feed-frame" }, h("table", { class: "feed" }, h("thead", {}, h("tr", {}, ["Key", "Change", "When", ""].map((name) => h("th", { scope: "col", class: name.toLowerCase() || "act" }, name)))), this.rows), this.message),
    );
    this.withdraw = offerKeys([{ key: "/", text: "Search", run: () => this.search.select() }]);
  }

  disconnectedCallback() {
    this.withdraw();
    this.aborting?.abort();
  }

  show(options) {
    this.options = options;
    if (document.activeElement !== this.search) this.search.value = options.prefix ?? "";
    this.load();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => change({ prefix: this.search.value }, { replace: true }), TYPING_MS);
  }

  async load() {
    this.aborting?.abort();
    const aborting = (this.aborting = new AbortController());
    fill(this.rows);
    fill(this.message);
    fill(this.summary, "Reading the history…");
    this.progress.hidden = false;
    this.progress.value = 0;
    this.all.hidden = true;
    try {
      const found = await findGraves(this.options.prefix, { onProgress: (share) => (this.progress.value = share), signal: aborting.signal });
      this.oldest = found.oldest;
      this.graves = found.graves;
      this.isCut = found.isCut;
    } catch (error) {
      if (isAbort(error)) return;
      this.progress.hidden = true;
      fill(this.summary);
      fill(this.message, failure(error, () => this.load()));
      return;
    }
    this.progress.hidden = true;
    this.draw();
  }

  draw() {
    const { graves } = this;
    fill(this.summary, `${counted(graves.length, "deleted key")} since revision ${count(this.oldest)}`, this.isCut && " (the newest are missing: choose a prefix)");
    this.all.hidden = !isWritable() || graves.length < 2 || graves.length > 1000;
    fill(this.rows);
    this.add(0);
    if (!graves.length) fill(this.message, emptiness("Nothing was deleted", "Keys that were deleted or expired appear here for as long as the store keeps their history."));
  }

  add(from) {
    const part = this.graves.slice(from, from + ROWS_AT_ONCE);
    this.rows.append(...part.map((grave) => this.rowOf(grave)));
    const left = this.graves.length - from - part.length;
    fill(this.message, left > 0 && h("div", { class: "sub-row" }, button(`Show ${count(Math.min(left, ROWS_AT_ONCE))} more`, () => this.add(from + ROWS_AT_ONCE))));
  }

  rowOf(grave) {
    const { key, op, time } = grave;
    const row = h(
      "tr",
      {},
      h("td", { class: "key mono" }, h("a", { href: fragmentOf("keys", { key, pane: "history" }), title: visibleText(key).slice(0, 500) }, h("bdi", {}, visible(key)))),
      h("td", { class: "change" }, h("span", { class: `op op-${op}` }, op)),
      h("td", { class: "when", title: moment(time) }, ago(time)),
      h("td", { class: "act" }, isWritable() && button("Bring back", () => this.restore(grave, row), { class: "link", "aria-label": `Bring back ${visibleText(key)}` })),
    );
    return row;
  }

  async restore(grave, row) {
    try {
      await bringBack([grave]);
    } catch (error) {
      notify(error.status === 409 ? "The key has a value again; nothing was changed." : error.message, { isError: true });
      return;
    }
    notify("Brought back");
    row.remove();
    this.graves = this.graves.filter((each) => each !== grave);
    fill(this.summary, `${counted(this.graves.length, "deleted key")} since revision ${count(this.oldest)}`);
  }

  async restoreAll() {
    const number = this.graves.length;
    if (!(await confirm(`Bring ${counted(number, "key")} back?`, "All of them or none, each with the last value that it had, without expiry.", { verb: `Bring ${count(number)} back`, typed: number, isDangerous: false }))) return;
    try {
      await bringBack(this.graves);
      notify(`Brought ${counted(number, "key")} back`);
    } catch (error) {
      notify(error.message, { isError: true });
    }
    await this.load();
  }
}

/** Restore the last values of deleted keys, in one transaction, unless one of them has a value again. */
async function bringBack(graves) {
  const then = [];
  for (const { key, last } of graves) then.push({ op: "restore", key, revision: last ?? (await lastValueOf(key)) });
  await postJson("v1/txn", { if: graves.map(({ key }) => ({ key, exists: false })), then });
}

async function lastValueOf(key) {
  const { versions } = await getJson(keyPath("history", key), { limit: 100 });
  const found = versions.find(({ op }) => op === "put" || op === "restore");
  if (!found) throw new Error("The store no longer keeps a value of this key.");
  return found.revision;
}

customElements.define("rundlet-deleted", DeletedView);
