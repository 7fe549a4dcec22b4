// The editor of one key: text, JSON, or a file; it saves over the revision that it opened only.

import { button, field, fill, h } from "../core/dom.js";
import { size } from "../core/format.js";
import { copyMenu } from "../shell/copying.js";
import { emptiness, notify } from "../shell/dialogs.js";
import { formatJson } from "../value/json.js";
import { isText, loadValue, textOf } from "../value/loading.js";
import { conflictView } from "./conflict.js";
import { Lifetime } from "./lifetime.js";
import { draftOf, dropDraft, keepDraft } from "./drafts.js";
import { currentValue, saveValue } from "./saving.js";

const EDITED_BYTES = 4_194_304;
const TYPES = ["text/plain; charset=utf-8", "application/json", "text/html", "text/csv", "application/octet-stream", "image/png", "image/jpeg", "application/pdf"];

/** Edits a key, or makes one (`value` is null then). */
export class Editor {
  constructor(place, value, onSaved, onCancel) {
    this.place = place;
    this.base = value;
    this.onSaved = onSaved;
    this.onCancel = onCancel;
    this.file = null;
    this.element = h("div", { class: "editor" });
  }

  /** Read the whole value, and show the form. */
  async begin() {
    const { place } = this;
    this.draft = draftOf(place);
    // Over what it was begun on, so that a change since then is a conflict.
    if (this.draft) this.base = this.draft.base;
    const { base } = this;
    if (base && base.bytes.length < base.size && base.size <= EDITED_BYTES) {
      try {
        this.base = await loadValue(place.key, { count: Infinity });
      } catch (error) {
        return fill(this.element, emptiness("Not loaded", error.message));
      }
    }
    return this.build();
  }

  build() {
    const { base, place } = this;
    const isEditable = !base || (base.bytes.length === base.size && isText(base.bytes));
    this.key = h("input", { class: "input mono", value: place.from ?? place.prefix ?? "", "aria-label": "Key", autocomplete: "off", spellcheck: "false", required: true });
    this.type = h("input", { class: "input mono", value: this.draft?.type ?? base?.type ?? TYPES[0], list: "content-types", "aria-label": "Content type", on: { input: () => this.check() } });
    this.text = h("textarea", { class: "input mono text-edit", spellcheck: "false", "aria-label": "Value", value: this.draft?.text ?? (isEditable && base ? textOf(base.bytes) : ""), on: { input: () => this.changed() } });
    this.lifetime = new Lifetime(base?.expires ?? null);
    this.problem = h("p", { class: "problem", role: "status" });
    this.picked = h("div", { class: "picked", hidden: true });
    this.format = button("Format", () => this.formatText(), { class: "quiet" });
    this.saveButton = h("button", { type: "submit", class: "primary" }, "Save");
    const upload = h("input", { type: "file", class: "offscreen", tabindex: "-1", "aria-label": "Upload a file", on: { change: () => upload.files[0] && this.pick(upload.files[0]) } });
    this.form = h(
      "form",
      { class: "stack", on: { submit: (event) => (event.preventDefault(), this.save()), dragover: (event) => event.preventDefault(), drop: (event) => this.dropped(event), keydown: (event) => this.pressed(event) } },
      this.draft && this.draftNote(),
      place.isNew && field("Key", this.key),
      h("div", { class: "form-row" }, field("Content type", this.type), field("Expires", this.lifetime.element)),
      h("datalist", { id: "content-types" }, TYPES.map((type) => h("option", { value: type }))),
      h("div", { class: "sub-row" }, h("span", { class: "field-label" }, "Value"), h("span", { class: "spring" }), this.format, button("Upload a file…", () => upload.click(), { class: "quiet" }), upload),
      this.picked,
      isEditable ? this.text : h("p", { class: "muted" }, `${size(base.size)} of bytes, which cannot be edited as text. Upload a file to replace them.`),
      this.problem,
      h("div", { class: "actions" }, copyMenu(() => this.described()), h("span", { class: "spring" }), button("Cancel", () => this.cancel()), this.saveButton),
    );
    fill(this.element, this.form);
    this.isEditable = isEditable;
    this.check();
    (place.isNew ? this.key : this.text).focus();
  }

  changed() {
    keepDraft(this.place, { text: this.text.value, type: this.type.value, base: this.base });
    this.check();
  }

  draftNote() {
    return h("div", { class: "banner inline" }, "These changes are not saved yet.", button("Discard them", () => this.cancel(), { class: "link" }));
  }

  cancel() {
    dropDraft(this.place);
    this.onCancel();
  }

  /** The key holds what the user wanted: leave the editor. */
  done() {
    dropDraft(this.place);
    this.onSaved(this.keyName);
  }

  pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.save();
    }
  }

  dropped(event) {
    event.preventDefault();
    if (event.dataTransfer.files[0]) this.pick(event.dataTransfer.files[0]);
  }

  pick(file) {
    this.file = file;
    if (file.type) this.type.value = file.type;
    this.text.hidden = true;
    this.picked.hidden = false;
    fill(this.picked, h("span", {}, `${file.name}, ${size(file.size)}`), button("Remove", () => this.unpick(), { class: "quiet" }));
    this.check();
  }

  unpick() {
    this.file = null;
    this.text.hidden = false;
    this.picked.hidden = true;
    this.check();
  }

  get isJson() {
    return /^application\/(?:[\w.+-]+\+)?json\b/.test(this.type.value.trim());
  }

  /** Say what is wrong with the text, and whether it can be saved. */
  check() {
    let problem = "";
    this.format.hidden = !this.isJson || Boolean(this.file);
    if (this.isJson && !this.file && this.isEditable) {
      try {
        JSON.parse(this.text.value);
      } catch (error) {
        problem = `Not valid JSON: ${error.message}`;
      }
    }
    this.saveButton.disabled = Boolean(problem) || (!this.file && !this.isEditable);
    fill(this.problem, problem);
  }

  formatText() {
    try {
      this.text.value = formatJson(this.text.value);
    } catch {
      // `check` says what is wrong.
    }
    this.check();
  }

  described() {
    const text = this.file ? "" : this.text.value;
    const { etag } = this.base ?? {};
    return { act: "put", key: this.place.isNew ? this.key.value || "key" : this.place.key, text, type: this.type.value, ttl: this.lifetime.ttl() || "", etag, isNew: !etag };
  }

  get keyName() {
    return this.place.isNew ? this.key.value : this.place.key;
  }

  async save(etag = this.base?.etag) {
    if (this.saveButton.disabled) return;
    const ttl = this.lifetime.ttl();
    if (ttl === undefined) return fill(this.problem, "The time to live must be above 0.");
    if (!this.keyName) return fill(this.problem, "The key is empty.");
    this.saveButton.disabled = true;
    const body = this.file ?? this.text.value;
    try {
      await saveValue(this.keyName, { body, type: this.type.value.trim(), ttl, etag, meta: this.base?.meta });
      notify("Saved");
      return this.done();
    } catch (error) {
      this.saveButton.disabled = false;
      if (error.status === 412) return this.showConflict();
      return fill(this.problem, error.message);
    }
  }

  /** Show what is there now beside what was opened and what is to be saved. */
  async showConflict() {
    let theirs;
    try {
      theirs = await currentValue(this.keyName);
    } catch (error) {
      return fill(this.problem, error.message);
    }
    const yours = this.file ? new Uint8Array(await this.file.arrayBuffer()) : new TextEncoder().encode(this.text.value);
    const view = conflictView(
      { base: this.base, theirs, yours },
      {
        takeTheirs: () => this.done(),
        edit: () => this.goOn(theirs, view),
        overwrite: async () => {
          this.base = theirs && { ...theirs, meta: this.base?.meta ?? theirs.meta };
          view.remove();
          this.form.hidden = false;
          await this.save(theirs?.etag);
        },
      },
    );
    this.form.hidden = true;
    this.element.append(view);
    view.querySelector("button")?.focus();
    return undefined;
  }

  /** Go on editing, now on top of what is there. */
  goOn(theirs, view) {
    this.base = theirs;
    view.remove();
    this.form.hidden = false;
    const note = h("div", { class: "banner" }, theirs ? "Saving now replaces their change, which you have seen." : "Saving now creates the key again.");
    this.form.prepend(note);
    this.text.focus();
  }
}
