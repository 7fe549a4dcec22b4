// A conflict: the key was changed since it was read. Theirs, the base and yours stand side by side.

import { button, h } from "../core/dom.js";
import { ago, count, size } from "../core/format.js";
import { isText, textOf } from "../value/loading.js";
import { comparedTexts } from "./compared.js";

/** Return a view of a conflict; `on`: overwrite(), takeTheirs(), edit(). `theirs` is null if the key was deleted. */
export function conflictView({ base, theirs, yours }, on) {
  const title = theirs ? `Changed ${ago(theirs.modified)}, at revision ${count(theirs.revision)}` : "Deleted meanwhile";
  return h(
    "section",
    { class: "conflict", "aria-label": "Conflict" },
    h("div", { class: "banner warn", role: "alert" }, h("strong", {}, "This key was changed since you opened it. "), "Nothing was saved. Compare, then decide."),
    h(
      "div",
      { class: "columns" },
      column("Theirs", title, theirs && (base ? differenceOf(base.bytes, theirs.bytes) : shownBytes(theirs.bytes))),
      column("Base", base ? `What you opened, revision ${count(base.revision)}` : "The key had no value", base && shownBytes(base.bytes)),
      column("Yours", "What you wrote", differenceOf(base?.bytes ?? new Uint8Array(), yours)),
    ),
    h(
      "div",
      { class: "actions" },
      theirs && button("Take theirs", on.takeTheirs),
      button("Edit mine on top of theirs", on.edit),
      button(theirs ? "Replace theirs with mine" : "Create it again with mine", on.overwrite, { class: "danger" }),
    ),
  );
}

function column(name, text, content) {
  return h("div", { class: "column" }, h("h3", {}, name), h("p", { class: "hint" }, text), content || h("p", { class: "muted" }, "No value"));
}

function differenceOf(before, after) {
  if (!isText(before) || !isText(after)) return shownBytes(after);
  return comparedTexts(textOf(before), textOf(after));
}

function shownBytes(bytes) {
  return isText(bytes) ? h("pre", { class: "text", tabindex: "0" }, textOf(bytes)) : h("p", { class: "muted" }, `${size(bytes.length)} of bytes`);
}
