// JSON, formatted and foldable. Numbers and the order of members stay as they are stored.

import { fill, h } from "../core/dom.js";
import { visibleText } from "../core/format.js";

const CHILDREN_AT_ONCE = 200;
const OPEN_DEPTH = 2;

/** Return the parsed text with every number as it was written, or throw a SyntaxError. */
export function parseJson(text) {
  // A reviver gets the source of each number, where the browser knows it: 1e400 and 64-bit ids stay.
  return JSON.parse(text, (_, value, context) => (typeof value === "number" && context?.source !== undefined ? new Num(context.source) : value));
}

class Num {
  constructor(source) {
    this.source = source;
  }
}

/** Return a tree of a parsed value. */
export function jsonTree(value) {
  return h("div", { class: "json", role: "group", "aria-label": "JSON" }, node(null, value, 0, true));
}

function node(name, value, depth, isLast) {
  const label = name === null ? [] : [h("span", { class: "json-name" }, typeof name === "number" ? String(name) : visibleText(JSON.stringify(name))), ": "];
  const comma = isLast ? "" : ",";
  if (value === null || typeof value !== "object" || value instanceof Num) {
    return h("div", { class: "json-line" }, label, scalar(value), comma);
  }
  const isList = Array.isArray(value);
  const entries = isList ? value.map((each, index) => [index, each]) : Object.entries(value);
  const [open, close] = isList ? "[]" : "{}";
  if (!entries.length) return h("div", { class: "json-line" }, label, open + close, comma);
  return branch({ label, entries, open, close, comma, isList, depth });
}

function branch({ label, entries, open, close, comma, isList, depth }) {
  const children = h("div", { class: "json-children" });
  const noun = isList ? "item" : "member";
  const details = h(
    "details",
    { class: "json-branch", open: depth < OPEN_DEPTH || entries.length <= 3 },
    h("summary", {}, label, open, h("span", { class: "json-fold" }, ` ${entries.length} ${noun}${entries.length === 1 ? "" : "s"} `), h("span", { class: "json-fold" }, close + comma)),
    children,
    h("div", { class: "json-line json-close" }, close, comma),
  );
  const draw = () => details.open && !children.childElementCount && addChildren(children, entries, isList, depth, 0);
  details.addEventListener("toggle", draw);
  draw();
  return details;
}

function addChildren(place, entries, isList, depth, from) {
  const part = entries.slice(from, from + CHILDREN_AT_ONCE);
  place.append(...part.map(([name, value], index) => node(isList ? null : name, value, depth + 1, from + index === entries.length - 1)));
  const left = entries.length - from - part.length;
  if (!left) return;
  const more = h("button", { type: "button", class: "link", on: { click: () => (more.remove(), addChildren(place, entries, isList, depth, from + part.length)) } }, `${left} more…`);
  place.append(more);
}

function scalar(value) {
  if (value instanceof Num) return h("span", { class: "json-number" }, value.source);
  if (typeof value === "string") return h("span", { class: "json-text" }, h("bdi", {}, visibleText(JSON.stringify(value))));
  return h("span", { class: "json-word" }, String(value));
}

/** Return text of JSON with line breaks and indents, every token as it is stored. */
export function formatJson(text) {
  parseJson(text);
  let depth = 0;
  let out = "";
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  tokens.forEach((token, at) => {
    const after = tokens[at + 1];
    if (token === "{" || token === "[") {
      const isEmpty = after === "}" || after === "]";
      if (!isEmpty) depth += 1;
      out += isEmpty ? token : `${token}\n${"  ".repeat(depth)}`;
    } else if (token === "}" || token === "]") {
      const isEmpty = tokens[at - 1] === "{" || tokens[at - 1] === "[";
      if (!isEmpty) depth -= 1;
      out += isEmpty ? token : `\n${"  ".repeat(depth)}${token}`;
    } else if (token === ",") out += `,\n${"  ".repeat(depth)}`;
    else out += token === ":" ? ": " : token;
  });
  return out;
}

/** Fill a place with the tree of a text, or with what is wrong with it and the text itself. Return whether it is JSON. */
export function showJson(place, text) {
  try {
    fill(place, jsonTree(parseJson(text)));
    return true;
  } catch (error) {
    fill(place, h("p", { class: "problem" }, `Not valid JSON: ${error.message}`), h("pre", { class: "text", tabindex: "0" }, text));
    return false;
  }
}
