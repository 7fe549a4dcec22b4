// The opened key: its value, its editor, its history.

import { isAbort, keyPath, send } from "../core/api.js";
import { button, fill, h, iconButton } from "../core/dom.js";
import { visible, visibleText } from "../core/format.js";
import { change } from "../core/places.js";
import { isWritable } from "../core/server.js";
import { loadStyle } from "../core/styles.js";
import { copyMenu, copyText } from "../shell/copying.js";
import { confirm, emptiness, failure, notify, showLoading } from "../shell/dialogs.js";
import { factsOf } from "./facts.js";
import { loadValue } from "./loading.js";
import { ShownValue } from "./shown.js";

/** Shows a key in an element beside the list. `onWrite()` is called after a write. */
export class KeyPane {
  constructor(element, onWrite) {
    this.element = element;
    this.onWrite = onWrite;
    this.shown = new ShownValue();
    this.body = h("div", { class: "pane-body" });
    this.aborting = new AbortController();
  }

  /** Show what the URL says: `{key, pane, isNew, prefix, rev, at}`. */
  show(place) {
    const text = JSON.stringify({ ...place, prefix: null });
    if (text === this.placeText) return;
    this.placeText = text;
    this.place = place;
    this.aborting.abort();
    this.aborting = new AbortController();
    this.shown.close();
    this.element.hidden = !place.key && !place.isNew;
    this.element.setAttribute("aria-label", place.key ? `Key ${visibleText(place.key)}` : "New key");
    if (this.element.hidden) return;
    if (place.isNew) this.showEditor(null);
    else this.load();
  }

  close() {
    this.aborting.abort();
    this.shown.close();
  }

  reload() {
    this.placeText = null;
    this.show(this.place);
  }

  get isPast() {
    return Boolean(this.place.rev || this.place.at);
  }

  async load() {
    const { place } = this;
    const { key, pane, rev, at } = place;
    if (!this.element.childElementCount || this.shownKey !== key) {
      fill(this.element, this.head(null), this.body);
      showLoading(this.body);
    }
    this.shownKey = key;
    try {
      const value = pane === "history" ? null : await loadValue(key, { rev, at, signal: this.aborting.signal });
      if (this.place !== place) return;
      if (pane === "edit" && !this.isPast && isWritable()) await this.showEditor(value);
      else if (pane === "history") await this.showHistory(place);
      else this.showValue(value);
    } catch (error) {
      if (isAbort(error) || this.place !== place) return;
      if (error.status === 404) this.showNothing();
      else fill(this.body, failure(error, () => this.reload()));
    }
  }

  /** `hasEdit`: there may be a value to edit. */
  head(value, hasEdit = true) {
    const { key, pane, isNew } = this.place;
    const tab = (name, label) => button(label, () => change({ pane: name }), { "aria-current": (pane ?? "") === name && "true", class: "tab" });
    const canWrite = isWritable() && !this.isPast;
    return h(
      "header",
      { class: "pane-head" },
      h(
        "div",
        { class: "pane-title" },
        iconButton("back", "Back to the list", () => change({ key: "", new: "", pane: "" }), { class: "icon-button only-narrow" }),
        h("h2", { class: "mono key-name" }, isNew ? "New key" : h("bdi", {}, visible(key))),
        !isNew && iconButton("copy", "Copy the key", () => copyText(key, "Key copied")),
        iconButton("close", "Close (Esc)", () => change({ key: "", new: "", pane: "" }), { class: "icon-button only-wide" }),
      ),
      !isNew &&
        h(
          "div",
          { class: "pane-tools" },
          h("div", { class: "tabs", role: "group", "aria-label": "Parts of the key" }, tab("", "Value"), canWrite && hasEdit && tab("edit", "Edit"), tab("history", "History")),
          h("span", { class: "spring" }),
          value && iconButton("download", "Download", () => this.download()),
          value && canWrite && iconButton("deleted", "Delete", () => this.remove(value)),
          copyMenu(() => this.described()),
        ),
    );
  }

  described() {
    const { key, pane, rev, at } = this.place;
    return pane === "history" ? { act: "history", key } : { act: "get", key, rev, at };
  }

  showValue(value) {
    fill(this.element, this.head(value), factsOf(value), this.body);
    fill(this.body, this.counterOf(value), this.shown.element);
    this.shown.show(this.place.key, value, this.place);
  }

  /** Steps for a value that is a whole number. */
  counterOf(value) {
    if (!isWritable() || this.isPast || value.size > 20 || !/^-?\d+$/.test(new TextDecoder().decode(value.bytes))) return null;
    // Each click counts, also one that comes before the last has been answered: nothing is returned to wait for.
    const step = (by) => () => void add(by);
    const add = async (by) => {
      const { addTo } = await import("../edit/saving.js");
      try {
        await addTo(this.place.key, by);
      } catch (error) {
        return notify(error.message, { isError: true });
      }
      this.onWrite();
      return this.reload();
    };
    return h("div", { class: "counter", role: "group", "aria-label": "Counter" }, button("− 1", step(-1)), button("+ 1", step(1)), h("span", { class: "hint" }, "counts in one step on the server"));
  }

  async showEditor(value) {
    const { place } = this;
    fill(this.element, this.head(value), this.body);
    showLoading(this.body);
    const [{ Editor }] = await Promise.all([import("../edit/editor.js"), loadStyle("edit")]);
    if (this.place !== place) return;
    const saved = (key) => {
      this.onWrite();
      change({ key, pane: "", new: "" }, { replace: true });
    };
    this.editor = new Editor(place, value, saved, () => change({ pane: "", new: "" }));
    fill(this.body, this.editor.element);
    this.editor.begin();
  }

  async showHistory(place) {
    const [{ HistoryPane }] = await Promise.all([import("../history/pane.js"), loadStyle("edit")]);
    if (this.place !== place) return;
    fill(this.element, this.head(null), this.body);
    const pane = new HistoryPane(place.key, () => this.onWrite());
    fill(this.body, pane.element);
    await pane.load();
  }

  showNothing() {
    fill(this.element, this.head(null, false), this.body);
    const text = this.isPast ? "It had no value then." : "It was deleted, it expired, or it never was.";
    fill(this.body, emptiness("No value", text, button("History", () => change({ pane: "history" })), isWritable() && !this.isPast && button("Create it", () => change({ new: "1", key: "", from: this.place.key }), { class: "primary" })));
  }

  async download() {
    const { key, rev, at } = this.place;
    try {
      const answer = await send(keyPath("kv", key), { query: { rev, at } });
      // As bytes, whatever the type: a download is never opened as a page of this origin.
      const url = URL.createObjectURL(new Blob([await answer.arrayBuffer()], { type: "application/octet-stream" }));
      h("a", { href: url, download: key.split("/").pop().replace(/[^\w.-]+/g, "_").slice(-100) || "value" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      notify(error.message, { isError: true });
    }
  }

  async remove(value) {
    const { key } = this.place;
    const isSure = await confirm("Delete this key?", [h("p", { class: "mono" }, visible(key)), "Its history keeps the value for as long as the store is told to."], { verb: "Delete" });
    if (!isSure) return;
    try {
      await send(keyPath("kv", key), { method: "DELETE", headers: { "If-Match": value.etag } });
      notify("Deleted");
      change({ key: "", pane: "" });
      this.onWrite();
    } catch (error) {
      notify(error.message, { isError: true });
      if (error.status === 412) this.reload();
    }
  }
}

