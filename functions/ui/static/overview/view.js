// The view of the server: what it holds, whether it is well, how fast it is, and its upkeep.

import { getJson, isAbort, send } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { count, counted, duration, size } from "../core/format.js";
import { isWritable, renewService } from "../core/server.js";
import { copyMenu } from "../shell/copying.js";
import { failure, showLoading } from "../shell/dialogs.js";
import { LineChart } from "./chart.js";
import { FaultsCard } from "./faults.js";
import { between, parseMetrics, reading, single } from "./metrics.js";
import { UpkeepCard } from "./upkeep.js";

const EVERY_MS = 2000;

class OverviewView extends HTMLElement {
  connectedCallback() {
    this.className = "view overview-view";
    this.aborting = new AbortController();
    showLoading(this);
    this.onSight = () => !document.hidden && this.read();
    document.addEventListener("visibilitychange", this.onSight);
  }

  disconnectedCallback() {
    this.aborting.abort();
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onSight);
  }

  show() {
    this.read();
  }

  build() {
    this.health = h("div", { role: "status" });
    this.tiles = h("dl", { class: "tiles" });
    this.requests = new LineChart("Requests per second", [["reads", "a"], ["writes", "b"], ["lists", "c"], ["others", "d"]], (value) => (value >= 10 || value === 0 ? count(Math.round(value)) : value.toFixed(1)));
    this.latency = new LineChart("Time to answer", [["p50", "a"], ["p99", "c"]], milliseconds);
    this.processes = h("div", {});
    this.facts = h("dl", { class: "plain-facts" });
    this.upkeep = new UpkeepCard();
    this.faults = new FaultsCard();
    fill(
      this,
      h("header", { class: "bar-row" }, h("h1", { class: "view-title" }, "Overview"), h("span", { class: "spring" }), copyMenu(() => ({ act: "stats" }))),
      h(
        "div",
        { class: "overview" },
        this.health,
        this.tiles,
        h("div", { class: "cards" }, this.requests.element, this.latency.element),
        h("div", { class: "cards" }, h("div", { class: "column-of-cards" }, this.faults.element, h("section", { class: "card" }, h("h3", {}, "Processes"), this.processes)), h("section", { class: "card" }, h("h3", {}, "Store"), this.facts), this.upkeep.element),
      ),
    );
    this.isBuilt = true;
  }

  async read() {
    clearTimeout(this.timer);
    const { signal } = this.aborting;
    try {
      const [stats, text, ready] = await Promise.all([getJson("v1/stats", {}, signal), send("metrics", { signal }).then((answer) => answer.text()), readiness(signal)]);
      this.service ??= await renewService();
      if (!this.isConnected) return;
      if (!this.isBuilt) this.build();
      this.draw(stats, parseMetrics(text), ready);
    } catch (error) {
      if (isAbort(error) || !this.isConnected) return;
      this.isBuilt = false;
      this.earlier = null;
      fill(this, failure(error, () => this.read()));
      if (error.status && error.status < 500) return;
    }
    if (!document.hidden) this.timer = setTimeout(() => this.read(), EVERY_MS);
  }

  draw(stats, metrics, ready) {
    fill(this.health, healthOf(ready));
    fill(this.tiles, this.tilesOf(stats, metrics).map(([name, value, more]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), more && h("dd", { class: "hint" }, more))));
    const now = reading(metrics, performance.now());
    if (this.earlier) {
      const { rates, p50, p99 } = between(this.earlier, now);
      this.requests.add([rates.reads, rates.writes, rates.lists, rates.others]);
      this.latency.add([p50, p99]);
    }
    this.earlier = now;
    fill(this.processes, processTable(metrics));
    fill(this.facts, this.storeFacts(stats, metrics).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.faults.draw(metrics);
    this.upkeep.draw(stats, metrics, this.service);
  }

  tilesOf(stats, metrics) {
    const free = single(metrics, "disk_free_bytes");
    return [
      ["Keys", count(stats.keys), null],
      ["Values", size(stats.value_bytes), `${count(stats.value_bytes)} bytes`],
      ["Revision", count(stats.revision), `readable since ${count(stats.oldest_revision)}`],
      free !== undefined && ["Disk free", size(free), null],
      ["Open feeds", count(single(metrics, "feeds_open") ?? 0), `of ${count(this.service.limits.feeds_max)} in each process`],
    ].filter(Boolean);
  }

  storeFacts(stats, metrics) {
    const { sync, backend, store_id: id, version, read_only: isReadOnly } = this.service;
    const started = single(metrics, "start_time_seconds");
    const syncs = single(metrics, "sync_seconds_count");
    return [
      ["Backend", `${backend}${isReadOnly ? ", read-only" : ""}`],
      ["Sync", sync ?? "by the backend"],
      syncs > 0 && ["A sync takes", milliseconds(single(metrics, "sync_seconds_sum") / syncs)],
      ["Version", version],
      started > 0 && ["Running for", duration(Date.now() / 1000 - started)],
      ["Store id", h("span", { class: "mono" }, id)],
      ...Object.entries(stats.store).filter(([name]) => /bytes$|segments$|index_files/.test(name)).map(([name, value]) => [name.replaceAll("_", " ").replace(/ bytes$/, ""), name.endsWith("bytes") ? size(value) : count(value)]),
    ].filter(Boolean);
  }
}

/** What `/readyz` says, ready or not. */
async function readiness(signal) {
  try {
    return await getJson("readyz", {}, signal);
  } catch (error) {
    if (error.status === 503 && error.problem.reasons) return error.problem;
    throw error;
  }
}

function healthOf({ ready, reasons = [], warnings = [] }) {
  const list = (texts) => h("ul", { class: "reasons" }, texts.map((text) => h("li", {}, text)));
  if (!ready) return h("div", { class: "banner bad" }, h("strong", {}, "Not ready"), list(reasons), warnings.length > 0 && list(warnings));
  if (warnings.length) return h("div", { class: "banner warn" }, h("strong", {}, `Ready, with ${counted(warnings.length, "warning")}`), list(warnings));
  return h("div", { class: "banner good" }, h("span", { class: "dot", "data-state": "ok" }), isWritable() ? "Ready: the store reads and writes." : "Ready: the store reads.");
}

function processTable(metrics) {
  const of = (name, role) => metrics.get(`rundlet_${name}`)?.find(({ labels }) => labels.role === role)?.value ?? 0;
  const roles = (metrics.get("rundlet_processes") ?? []).map(({ labels }) => labels.role);
  const row = (role) => h("tr", {}, h("th", { scope: "row" }, role), h("td", {}, count(of("processes", role))), h("td", { class: of("processes_hung", role) ? "problem" : null }, count(of("processes_hung", role))), h("td", {}, size(of("process_private_memory_bytes", role))), h("td", {}, count(of("process_open_fds", role))));
  return h("table", { class: "small-table" }, h("thead", {}, h("tr", {}, ["Role", "Running", "Hung", "Memory", "Files"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, roles.map(row)));
}

function milliseconds(seconds) {
  const value = seconds * 1000;
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${value < 10 ? value.toFixed(value < 1 ? 2 : 1) : Math.round(value)} ms`;
}

customElements.define("rundlet-overview", OverviewView);
