// What went wrong since the server started, by kind; a healthy server has none.

import { fill, h } from "../core/dom.js";
import { ago, count } from "../core/format.js";
import { counted, single } from "./metrics.js";

/** Return a list of faults as `[name, text]`, those that never happened left out. */
function faultsOf(metrics) {
  const last = single(metrics, "last_disk_error_timestamp_seconds");
  const ahead = single(metrics, "clock_ahead_seconds") ?? 0;
  const counts = [
    ...(metrics.get("rundlet_http_failures_total") ?? []).map(({ labels, value }) => [`Answers: ${Object.values(labels).join(" ")}`, value]),
    ["Disk errors", counted(metrics, "disk_errors_total"), last > 0 && `, ${ago(last * 1000)}`],
    ["Refused: token missing or not sufficient", counted(metrics, "refused_total")],
    ["Feeds refused: too many wait", counted(metrics, "feeds_refused_total")],
    ["Lines not in the audit file", counted(metrics, "audit_failures_total")],
    ["Processes that hang", counted(metrics, "processes_hung")],
  ];
  return [...counts.filter(([, value]) => value > 0).map(([name, value, more]) => [name, `${count(value)}${more || ""}`]), ...(ahead > 1 ? [["Clock behind the store", `${count(Math.round(ahead))} s`]] : [])];
}

/** A card of them. */
export class FaultsCard {
  constructor() {
    this.facts = h("div", {});
    this.element = h("section", { class: "card" }, h("h3", {}, "Faults since the start"), this.facts);
  }

  draw(metrics) {
    const faults = faultsOf(metrics);
    fill(this.facts, faults.length ? h("dl", { class: "plain-facts" }, faults.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "problem" }, value)])) : h("p", { class: "muted" }, "None."));
  }
}
