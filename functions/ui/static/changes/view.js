// The view of changes: a live feed of a prefix, newest first.

import { getJson } from "../core/api.js";
import { button, fill, h, icon, setText } from "../core/dom.js";
import { count, counted, moment, size, visible } from "../core/format.js";
import { Feed } from "../core/feed.js";
import { offerKeys } from "../core/keyboard.js";
import { change, fragmentOf } from "../core/places.js";
import { copyMenu } from "../shell/copying.js";
import { emptiness, failure } from "../shell/dialogs.js";

const ROWS_MAX = 500;
const HELD_MAX = 5_000;
const OPS = ["put", "delete", "expire", "restore", "erase"];

class ChangesView extends HTMLElement {
  connectedCallback() {
    this.className = "view changes-view";
    this.rows = h("tbody", {});
    this.prefixInput = h("input", { class: "input mono", type: "search", placeholder: "Prefix", "aria-label": "Prefix of the keys", spellcheck: "false", on: { change: () => change({ prefix: this.prefixInput.value }) } });
    this.filters = h("div", { class: "segments", role: "group", "aria-label": "Operations" }, OPS.map((op) => button(op, () => this.toggleOp(op))));
    this.pauseButton = button("Pause", () => this.togglePause());
    this.state = h("span", { class: "summary", role: "status" });
    this.message = h("div", { class: "message" });
    fill(
      this,
      h("header", { class: "bar-row" }, h("div", { class: "search" }, icon("search"), this.prefixInput), this.filters, this.pauseButton),
      h("div", { class: "sub-row" }, this.state, h("span", { class: "spring" }), button("Clear", () => this.clear(), { class: "quiet" }), copyMenu(() => ({ act: "changes", prefix: this.options.prefix, since: this.options.since }))),
      h("div", { class: "feed-frame" }, h("table", { class: "feed" }, h("thead", {}, h("tr", {}, ["Time", "Change", "Key", "Version", "Size", "Revision"].map((name) => h("th", { scope: "col", class: name.toLowerCase() }, name)))), this.rows), this.message),
    );
    this.withdraw = offerKeys([
      { key: "/", text: "Search", run: () => this.prefixInput.select() },
      { key: "p", text: "Pause or go on", run: () => this.togglePause() },
    ]);
  }

  disconnectedCallback() {
    this.withdraw();
    this.feed?.close();
  }

  show(options) {
    const isOther = !this.options || this.options.prefix !== options.prefix || this.options.since !== options.since;
    this.options = options;
    this.prefixInput.value = options.prefix ?? "";
    this.hiddenOps = new Set((options.without ?? "").split(",").filter(Boolean));
    for (const item of this.filters.children) item.setAttribute("aria-pressed", String(!this.hiddenOps.has(item.textContent)));
    for (const row of this.rows.children) row.hidden = this.hiddenOps.has(row.dataset.op);
    if (isOther) this.begin();
    else this.draw();
  }

  /** Follow from the revision of the URL, or from now. */
  async begin() {
    this.feed?.close();
    this.held = [];
    this.seen = 0;
    fill(this.rows);
    const { prefix, since } = this.options;
    this.connection = "waiting";
    this.error = null;
    this.draw();
    let start = since;
    try {
      start ??= (await getJson("v1/changes", { prefix, limit: 1 })).next_since;
    } catch (error) {
      this.connection = "failed";
      this.error = error;
      return this.draw();
    }
    if (!this.isConnected || this.options.prefix !== prefix || this.options.since !== since) return undefined;
    this.feed = new Feed(prefix, start, {
      event: (event) => this.take(event),
      state: (state, error) => {
        this.connection = state;
        this.error = error ?? null;
        this.draw();
      },
    });
    return undefined;
  }

  take(event) {
    this.seen += 1;
    if (this.isPaused) {
      this.held.push(event);
      if (this.held.length > HELD_MAX) this.held.shift();
    } else this.waiting = [...(this.waiting ?? []), event];
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.add(this.waiting ?? []);
      this.waiting = [];
      this.draw();
    });
  }

  /** Put rows on top, all in one step; a burst costs no more than what is shown. */
  add(events) {
    this.rows.prepend(...events.slice(-ROWS_MAX).reverse().map((event) => this.rowOf(event)));
    while (this.rows.childElementCount > ROWS_MAX) this.rows.lastElementChild.remove();
  }

  rowOf({ time, op, key, version, size: bytes, revision, last }) {
    const hasValue = op === "put" || op === "restore";
    return h(
      "tr",
      { "data-op": op, hidden: this.hiddenOps.has(op), class: last ? "is-last" : null },
      h("td", { class: "time" }, moment(time).slice(11)),
      h("td", { class: "change" }, h("span", { class: `op op-${op}` }, op)),
      h("td", { class: "key mono" }, h("a", { href: fragmentOf("keys", { key, pane: hasValue ? "" : "history" }) }, h("bdi", {}, visible(key)))),
      h("td", { class: "version" }, hasValue ? count(version) : ""),
      h("td", { class: "size" }, hasValue ? size(bytes) : ""),
      h("td", { class: "revision" }, count(revision)),
    );
  }

  toggleOp(op) {
    if (!this.hiddenOps.delete(op)) this.hiddenOps.add(op);
    change({ without: [...this.hiddenOps].join(",") }, { replace: true });
  }

  togglePause() {
    this.isPaused = !this.isPaused;
    if (!this.isPaused) {
      this.add(this.held);
      this.held = [];
    }
    this.draw();
  }

  clear() {
    fill(this.rows);
    this.draw();
  }

  draw() {
    setText(this.pauseButton, this.isPaused ? (this.held.length ? `Go on (${count(this.held.length)})` : "Go on") : "Pause");
    this.pauseButton.setAttribute("aria-pressed", String(Boolean(this.isPaused)));
    const words = { open: this.isPaused ? "Paused" : "Live", waiting: "Connecting…", failed: "Stopped" }[this.connection];
    fill(this.state, h("span", { class: "dot", "data-state": { open: this.isPaused ? "idle" : "live", waiting: "wait", failed: "bad" }[this.connection] }), `${words} · ${counted(this.seen ?? 0, "change")}`);
    if (this.connection === "failed") fill(this.message, failure(this.error, () => this.begin()));
    else if (!this.rows.childElementCount) fill(this.message, emptiness("Waiting for changes", "Every write, deletion and expiry appears here as it happens."));
    else fill(this.message);
  }
}

customElements.define("rundlet-changes", ChangesView);
