// Numbers, sizes, times and texts as people read them.

import { h } from "./dom.js";

const COUNT = new Intl.NumberFormat("en");

/** Return a whole number with separators of thousands. */
export function count(number) {
  return COUNT.format(number);
}

/** Return a number and its noun: `1 key`, `2,000 keys`. */
export function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a size in bytes with at most three digits: `12 B`, `3.4 KiB`. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 5);
  const number = bytes / 1024 ** power;
  return `${number.toFixed(number < 10 ? 1 : 0)} ${["", "KiB", "MiB", "GiB", "TiB", "PiB"][power]}`;
}

/** Return a duration as its two largest units: `2 d 3 h`, `5 s`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, unit]) => whole >= unit);
  if (first < 0) return "0 s";
  const parts = [];
  let left = whole;
  for (const [name, unit] of units.slice(first, first + 2)) {
    if (left >= unit) parts.push(`${Math.floor(left / unit)} ${name}`);
    left %= unit;
  }
  return parts.join(" ");
}

/** Return how long ago a time was, or how far ahead it is. */
export function ago(time) {
  const seconds = (Date.now() - new Date(time)) / 1000;
  if (Math.abs(seconds) < 1.5) return "now";
  const units = [["y", 31557600], ["mo", 2629800], ["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [name, unit] = units.find(([, each]) => Math.abs(seconds) >= each) ?? ["s", 1];
  const number = Math.floor(Math.abs(seconds) / unit);
  return seconds > 0 ? `${number} ${name} ago` : `in ${number} ${name}`;
}

/** Return a time of this machine's zone, to the second. */
export function moment(time) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// Characters without a shape of their own, or that turn what follows around.
const HIDDEN = /[\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]/u;

/** Return a text as nodes in which no character hides: `\u202e` instead of turning a line around. */
export function visible(text) {
  const nodes = [];
  let plain = "";
  for (const character of text) {
    if (!HIDDEN.test(character)) {
      plain += character;
      continue;
    }
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(h("span", { class: "escape" }, escaped(character)));
  }
  if (plain) nodes.push(plain);
  return nodes;
}

/** Return a text in which no character hides, as plain text: for labels and titles. */
export function visibleText(text) {
  return [...text].map((character) => (HIDDEN.test(character) ? escaped(character) : character)).join("");
}

function escaped(character) {
  const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  return known ?? `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
}

/** Return whether `visible` would change anything; most keys are plain. */
export function hasHidden(text) {
  return HIDDEN.test(text);
}
