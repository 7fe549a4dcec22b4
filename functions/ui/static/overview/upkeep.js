// Upkeep: compaction and backups, with what they are doing.

import { send } from "../core/api.js";
import { button, fill, h } from "../core/dom.js";
import { count, size } from "../core/format.js";
import { isWritable } from "../core/server.js";
import { copyText } from "../shell/copying.js";
import { confirm, notify } from "../shell/dialogs.js";
import { BackupProgress } from "./backup.js";
import { single } from "./metrics.js";

/** A card that starts a compaction, shows how far it is, and says how backups are taken. */
export class UpkeepCard {
  constructor() {
    this.facts = h("dl", { class: "plain-facts" });
    this.progress = h("div", {});
    this.backups = new BackupProgress();
    this.compactButton = button("Compact now…", () => this.compact());
    const command = `rundlet backup DIR --url ${new URL("../", document.baseURI).href.replace(/\/$/, "")}`;
    this.backupButton = button("Copy the backup command", () => copyText(command, "Copied"), { title: command });
    this.hint = h("p", { class: "hint" }, "A backup is taken while the server runs; add --follow to keep a copy seconds behind.");
    this.element = h(
      "section",
      { class: "card" },
      h("h3", {}, "Upkeep"),
      this.facts,
      this.progress,
      this.backups.element,
      h("div", { class: "card-actions" }, this.compactButton, this.backupButton),
      this.hint,
    );
  }

  /** Show what the store reports now. */
  draw(stats, metrics, service) {
    const { live_bytes: live, dead_bytes: dead } = stats.store;
    const done = single(metrics, "compaction_seconds_count") ?? 0;
    this.compactButton.hidden = !isWritable() || service.backend !== "log";
    // A store in a database is backed up with the database's own tools.
    this.backupButton.hidden = this.hint.hidden = service.backend !== "log";
    fill(
      this.facts,
      [
        live !== undefined && ["Reclaimable", `${size(dead)} of ${size(live + dead)}`],
        ["Compactions", count(done)],
        service.backend === "log" && ["Reclaimed", size(Math.max(0, (single(metrics, "compaction_read_bytes_total") ?? 0) - (single(metrics, "compaction_written_bytes_total") ?? 0)))],
        ...(service.backend === "log" ? this.backups.draw(metrics) : []),
      ]
        .filter(Boolean)
        .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    );
    this.follow(stats, done);
  }

  /** A compaction has ended when the count of compactions has risen, or nothing is left to reclaim. */
  follow({ store: { dead_bytes: dead } }, done) {
    if (!this.started) return fill(this.progress);
    if (done > this.started.done || dead === 0) {
      notify(dead < this.started.dead ? `Compaction reclaimed ${size(this.started.dead - dead)}` : "Compaction ended");
      this.started = null;
      return fill(this.progress);
    }
    const seconds = (Date.now() - this.started.time) / 1000;
    if (seconds > 600) this.started = null;
    return fill(this.progress, h("label", { class: "field" }, h("span", { class: "hint" }, `Compacting for ${Math.round(seconds)} s`), h("progress", { class: "progress", max: "1", value: dead < this.started.dead ? 1 - dead / this.started.dead : null })));
  }

  async compact() {
    const text = "It rewrites segments in the background to reclaim the space of deleted and overwritten values. Reads and writes go on.";
    if (!(await confirm("Compact the store?", text, { verb: "Compact", isDangerous: false }))) return;
    try {
      const { store } = await (await send("v1/stats")).json();
      const metrics = await (await send("metrics")).text();
      const done = Number(/^rundlet_compaction_seconds_count (\S+)$/m.exec(metrics)?.[1] ?? 0);
      await send("v1/admin/compact", { method: "POST" });
      this.started = { time: Date.now(), dead: store.dead_bytes, done };
    } catch (error) {
      notify(error.message, { isError: true });
    }
  }
}
