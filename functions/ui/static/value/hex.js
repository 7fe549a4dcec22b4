// Bytes as people read them: offset, hex, and the characters of ASCII.

import { button, fill, h } from "../core/dom.js";
import { count, size } from "../core/format.js";
import { loadValue, PIECE_BYTES } from "./loading.js";

const WIDTH = 16;

/** Return the lines of bytes that begin at an offset. */
export function hexLines(bytes, offset = 0) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const part = [...bytes.subarray(at, at + WIDTH)];
    const hex = part.map((byte, index) => byte.toString(16).padStart(2, "0") + (index === 7 ? " " : "")).join(" ");
    const text = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${(offset + at).toString(16).padStart(8, "0")}  ${hex.padEnd(WIDTH * 3)}  ${text}`);
  }
  return lines.join("\n");
}

/** Return a view of the bytes of a value, a piece at a time. */
export function hexView(key, value, place) {
  const lines = h("pre", { class: "hex", tabindex: "0", "aria-label": "Bytes in hex" }, hexLines(value.bytes));
  const where = h("span", { class: "summary" });
  const from = h("input", { class: "input mono tiny", "aria-label": "Offset, decimal or 0x…", placeholder: "offset" });
  let first = 0;
  const move = async (to) => {
    const target = Math.max(0, Math.min(to, value.size - 1));
    first = target - (target % WIDTH);
    try {
      const piece = await loadValue(key, { ...place, rev: value.revision, at: undefined, first, count: PIECE_BYTES });
      lines.textContent = hexLines(piece.bytes, first);
    } catch (error) {
      lines.textContent = error.message;
    }
    draw();
  };
  const back = button("← Before", () => move(first - PIECE_BYTES), { class: "quiet" });
  const on = button("After →", () => move(first + PIECE_BYTES), { class: "quiet" });
  from.addEventListener("change", () => Number.isFinite(Number(from.value)) && move(Number(from.value)));
  const draw = () => {
    fill(where, `bytes ${count(first)} to ${count(Math.min(first + PIECE_BYTES, value.size))} of ${count(value.size)}`);
    back.disabled = first === 0;
    on.disabled = first + PIECE_BYTES >= value.size;
  };
  draw();
  if (value.size <= PIECE_BYTES) return h("div", { class: "value-body" }, value.size ? lines : h("p", { class: "muted" }, "The value is empty: 0 bytes."));
  return h("div", { class: "value-body" }, h("div", { class: "sub-row" }, where, h("span", { class: "spring" }), from, back, on), lines, h("p", { class: "hint" }, size(value.size)));
}
