// A table of any length in a bounded number of elements: only the rows in sight exist.

import { fill, h, setText } from "../core/dom.js";
import { ago, count, hasHidden, moment, size, visible, visibleText } from "../core/format.js";

const SPARE_ROWS = 8;
// Chromium places elements up to 33.5 million pixels, other browsers not so far; a million rows need 30 million.
const HEIGHT_MAX = 33_000_000;
const REST_MS = 200;
const COLUMNS = ["Key", "Size", "Type", "Revision", "Modified", "Expires"];

/** Shows the rows of a source (`Listing`, `Tree`), and which are active and selected. */
export class KeyTable {
  /** `on`: open(row), toggle(row), select(), isSelectable(). */
  constructor(on) {
    this.on = on;
    this.selected = new Map();
    this.active = -1;
    this.openKey = null;
    this.pool = [];
    this.canvas = h("div", { class: "table-canvas", role: "presentation" });
    this.head = h("div", { class: "table-row table-head", role: "row" }, h("span", { role: "columnheader", class: "cell check" }, h("span", { class: "offscreen" }, "Select")), COLUMNS.map((name) => h("span", { role: "columnheader", class: `cell ${name.toLowerCase()}` }, name)));
    this.scroller = h("div", { class: "table-scroller", role: "rowgroup" }, this.canvas);
    this.element = h("div", { class: "table", role: "grid", "aria-label": "Keys", tabindex: "0" }, h("div", { role: "rowgroup" }, this.head), this.scroller);
    this.scroller.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.resizing = new ResizeObserver(() => this.schedule());
    this.resizing.observe(this.scroller);
  }

  /** Show another source; with `keep`, where it was scrolled to. */
  show(source, { keep = false } = {}) {
    this.source = source;
    this.element.setAttribute("role", source.toggle ? "treegrid" : "grid");
    if (!keep) {
      this.scroller.scrollTop = 0;
      this.active = -1;
    }
    this.schedule();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (!this.source || !this.scroller.clientHeight) return;
    const { length, isComplete } = this.source;
    this.rowHeight ||= parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 30;
    this.rowsMax ||= Math.floor(this.heightMax() / this.rowHeight) - 1000;
    if (this.source.rowsMax === Infinity) this.source.rowsMax = this.rowsMax;
    const height = length * this.rowHeight;
    if (this.height !== height) this.canvas.style.height = `${(this.height = height)}px`;
    this.element.setAttribute("aria-rowcount", isComplete ? length + 1 : -1);
    this.first = Math.max(0, Math.floor(this.scroller.scrollTop / this.rowHeight) - SPARE_ROWS);
    const inSight = Math.ceil(this.scroller.clientHeight / this.rowHeight);
    this.last = Math.min(length - 1, this.first + inSight + 2 * SPARE_ROWS);
    this.source.ensure(this.first, this.last + 1);
    this.fillPool(this.last - this.first + 1);
    for (let index = this.first; index <= this.last; index += 1) this.drawRow(this.pool[index % this.pool.length], index);
    this.hideOthers();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.order(), REST_MS);
  }

  /** How high the canvas can be: a browser cuts what is beyond its limit. */
  heightMax() {
    this.canvas.style.height = `${HEIGHT_MAX}px`;
    const height = Math.min(HEIGHT_MAX, this.canvas.offsetHeight);
    this.height = null;
    return height;
  }

  /** Put the rows into the order in which they are seen: a screen reader reads them in that of the document. */
  order() {
    const rows = this.pool.toSorted((a, b) => a.index - b.index).map(({ element }) => element);
    const isOrdered = rows.every((element, at) => this.canvas.children[at] === element);
    if (!isOrdered && !this.canvas.contains(document.activeElement)) this.canvas.append(...rows);
  }

  fillPool(needed) {
    if (this.pool.length >= needed) return;
    while (this.pool.length < needed) this.pool.push(this.newRow());
    this.canvas.append(...this.pool.map((each) => each.element));
  }

  hideOthers() {
    for (const each of this.pool) {
      const isUsed = each.index >= this.first && each.index <= this.last && this.pool[each.index % this.pool.length] === each;
      if (each.element.hidden === isUsed) each.element.hidden = !isUsed;
    }
  }

  newRow() {
    const box = h("input", { type: "checkbox", tabindex: "-1" });
    const cells = COLUMNS.map((name) => h("span", { class: `cell ${name.toLowerCase()}`, role: "gridcell" }));
    const name = h("bdi", {});
    const element = h("div", { class: "table-row", role: "row", hidden: true }, h("span", { class: "cell check", role: "gridcell" }, box), cells);
    const each = { element, box, cells, name, index: -1, shown: null };
    box.addEventListener("click", (event) => {
      event.stopPropagation();
      this.select(each.index, box.checked, event.shiftKey);
    });
    element.addEventListener("click", () => this.activate(each.index, { isOpened: true }));
    return each;
  }

  drawRow(each, index) {
    const row = this.source.row(index);
    if (each.index !== index) {
      each.element.style.transform = `translateY(${index * this.rowHeight}px)`;
      each.element.setAttribute("aria-rowindex", index + 2);
      each.element.id = `row-${index}`;
      each.index = index;
    }
    const state = row && this.stateOf(row, index);
    if (each.shown?.row === row?.info && each.shown?.state === state && row?.kind === "key") return;
    each.shown = { row: row?.info, state };
    this.fillRow(each, row, index);
  }

  stateOf(row, index) {
    return `${index === this.active} ${row.info?.key === this.openKey} ${this.selected.has(row.info?.key)} ${this.on.isSelectable()} ${row.depth}`;
  }

  fillRow({ element, box, cells, name }, row, index) {
    const info = row?.info;
    element.dataset.kind = row?.kind ?? "loading";
    element.classList.toggle("is-active", index === this.active);
    element.classList.toggle("is-open", info !== undefined && info.key === this.openKey);
    if (this.source.toggle) element.setAttribute("aria-level", (row?.depth ?? 0) + 1);
    else element.removeAttribute("aria-level");
    element.setAttribute("aria-selected", String(info !== undefined && this.selected.has(info.key)));
    box.hidden = !info || !this.on.isSelectable();
    box.checked = info !== undefined && this.selected.has(info.key);
    box.setAttribute("aria-label", info ? `Select ${hasHidden(info.key) ? visibleText(info.key) : info.key}` : "");
    const [key, ...others] = cells;
    key.style.paddingInlineStart = row?.depth ? `${row.depth * 18 + 8}px` : "";
    if (!info) {
      this.fillOther(element, key, row);
      for (const cell of others) setText(cell, "");
      return;
    }
    element.removeAttribute("aria-expanded");
    // Most keys are plain, and most rows were keys before: then one text is all that changes.
    if (hasHidden(row.name) || name.childElementCount) fill(name, visible(row.name));
    else setText(name, row.name);
    if (key.firstChild !== name) fill(key, name);
    key.title = row.name.length > 30 ? visibleText(info.key).slice(0, 500) : "";
    const texts = [size(info.size), info.content_type.split(";")[0], count(info.revision), ago(info.time), expiry(info)];
    others.forEach((cell, at) => setText(cell, texts[at]));
    others[1].title = info.content_type;
    others[3].title = moment(info.time);
  }

  fillOther(element, key, row) {
    key.title = "";
    if (row?.kind === "folder") {
      element.setAttribute("aria-expanded", String(row.isOpen));
      fill(key, h("span", { class: "twist", "aria-hidden": "true" }, row.isOpen ? "▾" : "▸"), h("bdi", {}, visible(row.name)), h("span", { class: "folder-count" }, this.countOf(row)));
    } else {
      element.removeAttribute("aria-expanded");
      fill(key, row?.kind === "more" ? h("span", { class: "link" }, "More keys…") : h("span", { class: "bar" }));
    }
  }

  countOf({ prefix }) {
    const number = this.source.counts?.get(prefix);
    return number === undefined || number === null ? "" : count(number);
  }

  /** Make a row the active one, bring it into sight, and open it if asked. */
  activate(index, { isOpened = false } = {}) {
    if (!this.source || index < 0 || index >= this.source.length) return;
    this.active = index;
    this.element.setAttribute("aria-activedescendant", `row-${index}`);
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.scroller.scrollTop = top + this.rowHeight - clientHeight;
    const row = this.source.row(index);
    if (isOpened && row) {
      if (row.kind === "key") this.on.open(row);
      else this.on.toggle(row);
    }
    this.schedule();
  }

  /** Select a row, or with `isRange` all rows from the last one that was selected. */
  select(index, isSelected, isRange = false) {
    const from = isRange && this.anchor !== undefined ? this.anchor : index;
    for (let at = Math.min(from, index); at <= Math.max(from, index); at += 1) {
      const info = this.source.row(at)?.info;
      if (!info) continue;
      if (isSelected) this.selected.set(info.key, info);
      else this.selected.delete(info.key);
    }
    this.anchor = index;
    this.on.select();
    this.schedule();
  }

  clearSelection() {
    this.selected.clear();
    this.on.select();
    this.schedule();
  }

  close() {
    this.resizing.disconnect();
    clearTimeout(this.resting);
    cancelAnimationFrame(this.frame);
  }
}

function expiry({ expires }) {
  if (!expires) return "";
  return new Date(expires) > Date.now() ? ago(expires) : "expired";
}
