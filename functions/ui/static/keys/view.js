// The view of keys: search, list or tree on one side, the opened key on the other.

import { button, fill, h, icon, setText } from "../core/dom.js";
import { count, counted, visible } from "../core/format.js";
import { offerKeys } from "../core/keyboard.js";
import { change } from "../core/places.js";
import { isWritable, limit, service } from "../core/server.js";
import { loadStyle } from "../core/styles.js";
import { copyMenu } from "../shell/copying.js";
import { emptiness, failure, showLoading } from "../shell/dialogs.js";
import { countKeys, Listing } from "./listing.js";
import { PastBar } from "./past.js";
import { searchOf } from "./pattern.js";
import { KeyTable } from "./table.js";
import { Tree } from "./tree.js";

const TYPING_MS = 120;

class KeysView extends HTMLElement {
  connectedCallback() {
    this.table = new KeyTable({
      open: (row) => change({ key: row.info.key, pane: "", new: "" }, { replace: Boolean(this.options.key) }),
      toggle: (row) => this.source.toggle?.(row),
      select: () => this.drawSelection(),
      isSelectable: () => isWritable() && !this.isPast,
    });
    this.paneElement = h("section", { class: "pane", "aria-label": "Key", hidden: true });
    this.past = new PastBar();
    this.build();
    this.withdraw = offerKeys(this.bindings());
    this.onAgain = () => this.refresh();
    window.addEventListener("online-again", this.onAgain);
    this.onService = () => this.draw();
    window.addEventListener("service", this.onService);
  }

  disconnectedCallback() {
    this.withdraw();
    this.source?.close();
    this.counting?.abort();
    this.table.close();
    this.pane?.close();
    window.removeEventListener("online-again", this.onAgain);
    window.removeEventListener("service", this.onService);
  }

  build() {
    this.className = "view keys-view";
    this.search = h("input", { class: "input mono", type: "search", placeholder: "users/*/name", "aria-label": "Prefix of the keys", autocomplete: "off", spellcheck: "false", on: { input: () => this.typed() } });
    this.shape = h("div", { class: "segments", role: "group", "aria-label": "Shape" }, button("List", () => change({ tree: "" })), button("Tree", () => change({ tree: "1" })));
    this.delimiter = h("input", { class: "input mono tiny", "aria-label": "Delimiter", title: "Delimiter of the tree", maxlength: "20", on: { change: () => change({ delimiter: this.delimiter.value === "/" ? "" : this.delimiter.value }) } });
    this.order = button("", () => change({ reverse: this.options.reverse ? "" : "1" }), { class: "quiet" });
    this.create = button([icon("plus"), h("span", {}, "New key")], () => change({ new: "1", key: "", pane: "" }), { class: "primary", "aria-label": "New key" });
    this.pastButton = button([icon("clock"), h("span", {}, "As of")], () => this.togglePast(), { class: "quiet copy-as", "aria-label": "As of", title: "Show the store as it was" });
    this.goOn = button("More from the last key on", () => change({ start: this.source.lastKey }), { class: "link", hidden: true });
    this.deleteAll = button("Delete all…", () => this.deleteSelection(), { class: "quiet danger", hidden: true });
    this.found = h("span", {});
    this.revision = h("span", { class: "summary-revision" });
    this.summary = h("span", { class: "summary", role: "status" }, this.found, this.revision);
    this.selection = h("div", { class: "selection", hidden: true });
    this.message = h("div", { class: "message" });
    fill(
      this,
      h(
        "section",
        { class: "browser", "aria-label": "Browse" },
        h("header", { class: "bar-row" }, h("div", { class: "search" }, icon("search"), this.search), this.shape, this.delimiter, this.create),
        h("div", { class: "sub-row" }, this.summary, this.goOn, h("span", { class: "spring" }), this.deleteAll, this.order, this.pastButton, copyMenu(() => this.described())),
        this.past.element,
        this.selection,
        h("div", { class: "table-frame" }, this.table.element, this.message),
      ),
      this.paneElement,
    );
  }

  bindings() {
    const step = (by) => () => this.step(by);
    return [
      { key: "/", text: "Search", run: () => this.search.select() },
      { key: "j", text: "Next key", run: step(1) },
      { key: "ArrowDown", text: "Next key", run: step(1) },
      { key: "k", text: "Previous key", run: step(-1) },
      { key: "ArrowUp", text: "Previous key", run: step(-1) },
      { key: "Enter", text: "Open", run: (event) => (event.target.closest("button, a") ? false : this.table.activate(this.table.active, { isOpened: true })) },
      { key: "x", text: "Select", run: () => this.toggleSelected() },
      { key: "n", text: "New key", run: () => isWritable() && change({ new: "1", key: "" }) },
      { key: "e", text: "Edit", run: () => isWritable() && this.options.key && change({ pane: "edit" }) },
      { key: "h", text: "History of the key", run: () => this.options.key && change({ pane: "history" }) },
      { key: "t", text: "As of another time", run: () => this.togglePast() },
      { key: "Escape", text: "Close", run: () => this.leave() },
    ];
  }

  get isPast() {
    return Boolean(this.options.rev || this.options.at);
  }

  /** Show what the URL says. */
  show(options) {
    const before = this.options;
    this.options = options;
    const selection = JSON.stringify(this.selected());
    if (!before || this.selectionText !== selection) {
      this.selectionText = selection;
      this.load();
    }
    this.drawControls();
    this.past.show(options);
    const { key, pane, new: isNew, from } = options;
    this.classList.toggle("has-pane", Boolean(key || isNew));
    this.table.openKey = key ?? null;
    this.showPane({ key, pane, isNew: Boolean(isNew), from, prefix: options.prefix, rev: options.rev, at: options.at });
    this.table.schedule();
  }

  /** Draw again what depends on the server: whether it takes writes, and how long its pages may be. */
  draw() {
    if (!this.options) return;
    if (this.source.error) this.load();
    this.drawControls();
    this.drawState();
  }

  /** Show the opened key; what shows it is loaded with the first one. */
  async showPane(place) {
    this.wanted = place;
    this.paneElement.hidden = !place.key && !place.isNew;
    if (!this.pane) {
      if (this.paneElement.hidden) return;
      showLoading(this.paneElement);
      try {
        await loadPane();
      } catch {
        return fill(this.paneElement, failure({ message: "This part of the dashboard did not load. Reload the page." }, () => location.reload()));
      }
      if (!this.isConnected || this.wanted !== place) return;
      const { KeyPane } = await loadPane();
      this.pane ??= new KeyPane(this.paneElement, () => this.refresh());
    }
    this.pane.show(place);
  }

  selected() {
    const { prefix, match, reverse, start, rev, at, tree, delimiter } = this.options;
    return { prefix, match, reverse, start, rev, at, tree, delimiter: tree ? delimiter || "/" : undefined };
  }

  load({ keep = false } = {}) {
    this.source?.close();
    const selection = this.selected();
    this.source = new (selection.tree && !selection.match ? Tree : Listing)(selection, () => this.drawState());
    if (!keep) this.table.clearSelection();
    this.table.show(this.source, { keep });
    this.source.ensure(0, 0);
    this.count(selection);
    this.drawState();
  }

  refresh() {
    this.load({ keep: true });
  }

  async count(selection) {
    this.counting?.abort();
    this.counting = new AbortController();
    this.total = null;
    try {
      this.total = await countKeys(selection, this.counting.signal);
    } catch {
      return; // the list itself says what is wrong
    }
    this.drawState();
  }

  drawControls() {
    const { prefix, match, reverse, tree, delimiter } = this.options;
    if (document.activeElement !== this.search) this.search.value = (prefix ?? "") + (match ?? "");
    const [list, asTree] = this.shape.children;
    list.setAttribute("aria-pressed", String(!tree));
    asTree.setAttribute("aria-pressed", String(Boolean(tree)));
    this.delimiter.hidden = !tree;
    this.delimiter.value = delimiter || "/";
    setText(this.order, reverse ? "Z → A" : "A → Z");
    this.order.setAttribute("aria-label", reverse ? "Z → A, last key first" : "A → Z, first key first");
    this.create.hidden = !isWritable() || this.isPast;
  }

  drawState() {
    const { source, total } = this;
    const { prefix, match } = this.options;
    this.drawSummary(source.revision);
    this.goOn.hidden = !source.isCut || Boolean(this.options.reverse);
    this.deleteAll.hidden = !this.canCreate() || !prefix || !total;
    if (source.error) fill(this.message, failure(source.error, () => this.load()));
    else if (source.length === 0 && source.isComplete) fill(this.message, this.nothing((prefix ?? "") + (match ?? "")));
    else if (source.length === 0) fill(this.message, h("div", { class: "skeleton", role: "status", "aria-busy": "true", "aria-label": "Loading" }, Array.from({ length: 8 }, () => h("div", { class: "bar" }))));
    else fill(this.message);
    this.message.hidden = this.message.childElementCount === 0;
    this.table.schedule();
  }

  drawSummary(revision) {
    const { total, source } = this;
    const found = total === null ? (source.length ? "…" : "") : this.options.match ? `${count(total)} ${total === 1 ? "match" : "matches"}` : counted(total, "key");
    setText(this.found, found);
    setText(this.revision, revision === null ? "" : `${found && " · "}revision ${count(revision)}`);
  }

  nothing(prefix) {
    if (prefix) {
      return emptiness(this.options.match ? "No keys match" : "No keys with this prefix", h("p", { class: "mono" }, visible(prefix)), button("Show all keys", () => change({ prefix: "", match: "" })), this.canCreate() && button("New key", () => change({ new: "1", key: "" }), { class: "primary" }));
    }
    if (this.canCreate() && !this.options.match && !this.options.start) return this.tour();
    return emptiness("No keys yet", this.isPast ? "The store was empty then." : "Everything that you store appears here.", this.canCreate() && button("New key", () => change({ new: "1", key: "" }), { class: "primary" }));
  }

  /** What shows a first user around, loaded for an empty store only. */
  tour() {
    const place = h("div", {});
    const onLook = (number, revision) => {
      this.total = number;
      this.drawSummary(revision);
    };
    Promise.all([import("../tour/tour.js"), loadStyle("tour")]).then(
      ([{ Tour }]) => place.isConnected && fill(place, new Tour({ onKeys: () => this.refresh(), onLook }).element),
      () => fill(place, emptiness("No keys yet", "Everything that you store appears here.")),
    );
    return place;
  }

  canCreate() {
    return isWritable() && !this.isPast;
  }

  drawSelection() {
    const { selected } = this.table;
    this.selection.hidden = selected.size === 0;
    if (selected.size === 0) return;
    fill(this.selection, h("span", {}, `${counted(selected.size, "key")} selected`), button("Delete…", () => this.deleteSelected(), { class: "danger" }), button("Clear", () => this.table.clearSelection(), { class: "quiet" }));
  }

  async deleteSelected() {
    const { deleteKeys } = await import("./deleting.js");
    if (await deleteKeys([...this.table.selected.values()], limit("txn_ops_max", 1000))) {
      this.table.clearSelection();
      this.refresh();
    }
  }

  /** Delete every key that the search box selects. */
  async deleteSelection() {
    const { deletePrefix } = await import("./deleting.js");
    const { prefix, match } = this.options;
    if (await deletePrefix({ prefix, match }, limit("txn_ops_max", 1000))) this.refresh();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => change({ ...searchOf(this.search.value), start: "" }, { replace: true }), TYPING_MS);
  }

  /** Go to another row. The table has the focus then, so that a screen reader reads the row. */
  step(by) {
    const { table, source } = this;
    if (document.activeElement === document.body) table.element.focus();
    if (table.active < 0 && this.options.key) table.active = source.indexOf(this.options.key);
    table.activate(Math.max(0, table.active + by), { isOpened: false });
    const row = source.row(table.active);
    if (this.options.key && row?.kind === "key") change({ key: row.info.key }, { replace: true });
  }

  togglePast() {
    if (this.past.isOpen) this.past.leave();
    else change({ past: "1" });
  }

  toggleSelected() {
    const row = this.source.row(this.table.active);
    if (row?.info && this.table.on.isSelectable()) this.table.select(this.table.active, !this.table.selected.has(row.info.key));
  }

  leave() {
    if (document.activeElement === this.search) return this.search.blur();
    if (this.options.pane) return change({ pane: "" });
    if (this.options.key || this.options.new) return change({ key: "", new: "", pane: "" });
    return false;
  }

  described() {
    const { prefix, match, reverse, rev, at, start } = this.options;
    return { act: "list", prefix, match, reverse, rev, at, start };
  }
}

/** What shows a key, with its style, once it is known what the server allows. */
async function loadPane() {
  const [module] = await Promise.all([import("../value/pane.js"), loadStyle("pane"), service().catch(() => {})]);
  return module;
}

customElements.define("rundlet-keys", KeysView);
