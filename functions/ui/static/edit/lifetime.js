// When a value expires: never, as it does now, or after a time.

import { h } from "../core/dom.js";
import { ago } from "../core/format.js";

const UNITS = [["seconds", 1], ["minutes", 60], ["hours", 3600], ["days", 86400]];

/** A control for the time to live; `ttl()` returns seconds, null for never, undefined if it is not valid. */
export class Lifetime {
  constructor(expires = null) {
    this.expires = expires;
    const choices = [["never", "Never"], ...(expires ? [["keep", `As now (${ago(expires)})`]] : []), ["after", "After …"]];
    this.choice = h("select", { class: "input", "aria-label": "Expires", on: { change: () => this.draw() } }, choices.map(([value, label]) => h("option", { value }, label)));
    this.choice.value = expires ? "keep" : "never";
    this.number = h("input", { class: "input tiny", type: "number", min: "0", step: "any", value: "1", "aria-label": "Time to live" });
    this.unit = h("select", { class: "input", "aria-label": "Unit" }, UNITS.map(([name, unit]) => h("option", { value: unit }, name)));
    this.unit.value = "3600";
    this.element = h("span", { class: "inline" }, this.choice, this.number, this.unit);
    this.draw();
  }

  draw() {
    this.number.hidden = this.unit.hidden = this.choice.value !== "after";
  }

  ttl() {
    if (this.choice.value === "never") return null;
    if (this.choice.value === "keep") return Math.max(0.001, (new Date(this.expires) - Date.now()) / 1000);
    const seconds = Number(this.number.value) * Number(this.unit.value);
    return seconds > 0 ? seconds : undefined;
  }
}
