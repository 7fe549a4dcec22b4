// A value as it is best seen: by its content type, and never as a page or a script.

import { button, fill, h } from "../core/dom.js";
import { size } from "../core/format.js";
import { failure } from "../shell/dialogs.js";
import { hexView } from "./hex.js";
import { showJson } from "./json.js";
import { kindOf, loadValue, PIECE_BYTES, textOf, WHOLE_BYTES } from "./loading.js";

const TEXT_BYTES = 1_048_576;

/** Shows one value, and frees what the one before needed. */
export class ShownValue {
  constructor() {
    this.element = h("div", { class: "shown" });
    this.url = null;
  }

  /** Show a value as `loadValue` read it; `place` is the revision or time that the page is at. */
  async show(key, value, place) {
    this.close();
    this.value = value;
    const kind = (this.kind = kindOf(value));
    if (kind === "bytes") return fill(this.element, hexView(key, value, place));
    if (kind === "pdf") return fill(this.element, this.pdfOffer(key, value, place));
    const needed = kind === "text" || kind === "json" ? TEXT_BYTES : WHOLE_BYTES;
    if (value.size <= needed || kind === "text") return this.showKnown(key, value, place, kind);
    const load = button(`Load ${size(value.size)}`, () => this.showWhole(key, value, place, kind), { class: "primary" });
    return fill(this.element, h("div", { class: "empty" }, h("p", {}, `${size(value.size)} of ${value.type}`), load));
  }

  async showKnown(key, value, place, kind) {
    if (value.bytes.length === value.size || (kind === "text" && value.size > TEXT_BYTES)) return this.draw(key, value, place, kind);
    return this.showWhole(key, value, place, kind);
  }

  async showWhole(key, value, place, kind) {
    fill(this.element, h("p", { class: "muted", "aria-busy": "true" }, `Loading ${size(value.size)}…`));
    try {
      const whole = await loadValue(key, { rev: value.revision, count: Infinity });
      if (this.value === value) this.draw(key, { ...value, bytes: whole.bytes }, place, kind);
    } catch (error) {
      if (this.value === value) fill(this.element, failure(error, () => this.showWhole(key, value, place, kind)));
    }
  }

  draw(key, value, place, kind) {
    if (kind === "text") return fill(this.element, this.textView(key, value, place));
    if (kind === "json") return this.drawJson(key, value, place);
    return fill(this.element, this.mediaView(value, kind));
  }

  textView(key, value, place) {
    const rest = value.size - value.bytes.length;
    const text = h("pre", { class: "text", tabindex: "0", "aria-label": "Text" }, textOf(value.bytes));
    if (value.size === 0) return h("p", { class: "muted" }, "The value is empty: 0 bytes.");
    const more = rest > 0 && h("p", { class: "hint" }, `The first ${size(value.bytes.length)} of ${size(value.size)}. `, button("As bytes", () => fill(this.element, hexView(key, { ...value, bytes: value.bytes.subarray(0, PIECE_BYTES) }, place)), { class: "link" }));
    return h("div", { class: "value-body" }, text, more);
  }

  drawJson(key, value, place) {
    const text = textOf(value.bytes);
    const tree = h("div", { class: "value-body" });
    const raw = button("As stored", () => fill(this.element, back, h("pre", { class: "text", tabindex: "0" }, text)), { class: "link corner" });
    const back = button("Formatted", () => this.drawJson(key, value, place), { class: "link corner" });
    const isValid = showJson(tree, text);
    fill(this.element, isValid && raw, tree);
  }

  mediaView(value, kind) {
    const type = value.type.split(";")[0].trim();
    this.url = URL.createObjectURL(new Blob([value.bytes], { type }));
    // An <img> never runs the scripts of an SVG; a blob has the type that is given here.
    if (kind === "image") return this.imageView();
    // Its type is PDF, so the browser's viewer opens it, or nothing does.
    if (kind === "pdf") return h("div", { class: "value-body fills" }, h("iframe", { class: "pdf", src: this.url, title: "PDF", referrerpolicy: "no-referrer" }));
    const player = h(kind, { controls: true, src: this.url, class: "media" });
    player.addEventListener("error", () => player.replaceWith(this.cannotPlay()));
    return h("div", { class: "value-body" }, player);
  }

  /** A PDF is opened when it is asked for: Chromium runs its viewer in no frame with `sandbox`, whatever that allows. */
  pdfOffer(key, value, place) {
    if (!isPdf(value.bytes)) return this.cannotPlay();
    const act = button("Open the PDF", () => this.showKnown(key, value, place, "pdf"), { class: "primary" });
    return h("div", { class: "empty" }, h("p", { class: "empty-title" }, `PDF, ${size(value.size)}`), h("p", {}, "The browser's viewer opens it in a frame of its own, which no sandbox can hold. Open what you trust; download the rest."), act);
  }

  imageView() {
    const facts = h("p", { class: "hint" });
    const image = h("img", { class: "image", src: this.url, alt: "The stored image" });
    image.addEventListener("load", () => fill(facts, `${image.naturalWidth} × ${image.naturalHeight} pixels`));
    image.addEventListener("error", () => image.replaceWith(this.cannotPlay()));
    return h("div", { class: "value-body" }, h("div", { class: "image-frame" }, image), facts);
  }

  cannotPlay() {
    return h("p", { class: "problem" }, "The browser cannot show this: the bytes are not what the content type says. Download the value, or look at its bytes.");
  }

  close() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.value = null;
  }
}

/** Readers look for the mark of a PDF among its first 1,024 bytes. */
function isPdf(bytes) {
  return textOf(bytes.subarray(0, 1024)).includes("%PDF-");
}
