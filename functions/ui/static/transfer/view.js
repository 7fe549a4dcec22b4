// The view of export and import: files in, files out.

import { button, field, fill, h } from "../core/dom.js";
import { isWritable } from "../core/server.js";
import { copyMenu } from "../shell/copying.js";
import { change } from "../core/places.js";
import { exportFile } from "./exporting.js";
import { ImportPanel } from "./importing.js";

const FORMATS = [["jsonl", "JSON lines (.jsonl)"], ["csv", "CSV (.csv)"], ["cbor-seq", "CBOR sequence (.cbor)"]];

class TransferView extends HTMLElement {
  connectedCallback() {
    this.className = "view transfer-view";
    this.panel = new ImportPanel();
    this.prefixInput = h("input", { class: "input mono", spellcheck: "false", placeholder: "all keys", on: { input: () => this.changed() } });
    this.format = h("select", { class: "input", on: { change: () => this.changed() } }, FORMATS.map(([value, label]) => h("option", { value }, label)));
    this.state = h("div", { role: "status" });
    fill(
      this,
      h("header", { class: "bar-row" }, h("h1", { class: "view-title" }, "Import and export")),
      h(
        "div",
        { class: "overview" },
        h(
          "section",
          { class: "card" },
          h("div", { class: "card-head" }, h("h3", {}, "Export"), copyMenu(() => ({ act: "export", prefix: this.prefixInput.value, format: this.format.value }))),
          h("p", { class: "hint" }, "One snapshot of keys and values, with their types and times of expiry. Import reads it back as it is."),
          h("div", { class: "form-row" }, field("Prefix", this.prefixInput), field("Format", this.format)),
          h("div", { class: "card-actions" }, button("Export", () => this.export(), { class: "primary" })),
          this.state,
        ),
        h("div", { class: "import-place" }),
      ),
    );
  }

  disconnectedCallback() {
    this.panel.close();
  }

  show({ prefix, format }) {
    if (document.activeElement !== this.prefixInput) this.prefixInput.value = prefix ?? "";
    this.format.value = format ?? "jsonl";
    fill(this.querySelector(".import-place"), isWritable() ? this.panel.element : h("section", { class: "card" }, h("h3", {}, "Import"), h("p", { class: "muted" }, "This server only reads.")));
  }

  changed() {
    change({ prefix: this.prefixInput.value, format: this.format.value === "jsonl" ? "" : this.format.value }, { replace: true });
  }

  export() {
    return exportFile({ prefix: this.prefixInput.value, format: this.format.value }, this.state);
  }
}

customElements.define("rundlet-transfer", TransferView);
