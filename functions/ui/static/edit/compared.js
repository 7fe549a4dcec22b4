// Differences as they are shown, in one column.

import { h } from "../core/dom.js";
import { lineDifference } from "./difference.js";

const CONTEXT_LINES = 3;
const SIGNS = { same: " ", removed: "−", added: "+" };

/** Return the difference of two texts, with long runs of equal lines folded. */
export function comparedTexts(before, after) {
  const lines = lineDifference(before, after);
  if (lines.every(({ op }) => op === "same")) return h("p", { class: "muted" }, "No difference.");
  const isNear = lines.map((_, at) => lines.slice(Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1).some(({ op }) => op !== "same"));
  const shown = [];
  for (let at = 0; at < lines.length; at += 1) {
    if (isNear[at]) {
      shown.push(lineOf(lines[at]));
      continue;
    }
    const from = at;
    while (at + 1 < lines.length && !isNear[at + 1]) at += 1;
    shown.push(folded(lines.slice(from, at + 1)));
  }
  return h("div", { class: "diff", role: "table", "aria-label": "Differences", tabindex: "0" }, shown);
}

function lineOf({ op, text, words }) {
  const content = words ? words.map((word) => (word.op === "same" ? word.text : h("mark", {}, word.text))) : text;
  const name = { same: "", removed: "removed", added: "added" }[op];
  return h("div", { class: `diff-line ${op}`, role: "row" }, h("span", { class: "diff-sign", "aria-label": name || null, role: "cell" }, SIGNS[op]), h("code", { role: "cell" }, content));
}

function folded(lines) {
  const more = h("button", { type: "button", class: "diff-fold", on: { click: () => more.replaceWith(...lines.map(lineOf)) } }, `${lines.length} equal line${lines.length === 1 ? "" : "s"}`);
  return more;
}
