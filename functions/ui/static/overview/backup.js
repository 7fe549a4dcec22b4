// Backups, as far as the metrics tell of them: how many began and ended, and the bytes that were sent.

import { fill, h } from "../core/dom.js";
import { count, size } from "../core/format.js";
import { notify } from "../shell/dialogs.js";
import { counted } from "./metrics.js";

const FILE = "/v1/backup/{id}/{file}";
/** A client that takes nothing for so long has gone, or waits; its hold on the store ends by itself. */
const SILENT_MS = 60_000;

/** Follows backups from one reading to the next. The server does not know how much a client still wants: it has a part. */
export class BackupProgress {
  constructor() {
    this.element = h("div", { class: "backup-progress" });
  }

  /** Return the facts of one reading, and show what goes on now. */
  draw(metrics) {
    const now = { begun: counted(metrics, "http_requests_total", { route: "/v1/backup", method: "POST", status: "2xx" }), ended: counted(metrics, "http_requests_total", { route: "/v1/backup/{id}", method: "DELETE", status: "2xx" }), sent: counted(metrics, "http_response_bytes_total", { route: FILE }), time: performance.now() };
    const before = this.before ?? now;
    if (now.sent > before.sent || now.begun > before.begun) {
      this.first ??= before;
      this.moved = now.time;
    }
    if (this.first && now.ended > before.ended) {
      notify(`A backup ended: ${size(now.sent - this.first.sent)} sent`);
      this.first = null;
    } else if (now.time - this.moved > SILENT_MS) this.first = null;
    this.rate = Math.max(0, now.sent - before.sent) / ((now.time - before.time) / 1000 || 1);
    this.before = now;
    this.show(now);
    return [["Backups", `${count(now.ended)} ended of ${count(now.begun)}`], ["Sent for backups", size(now.sent)]];
  }

  show(now) {
    if (!this.first) return fill(this.element);
    const words = `A backup is being taken: ${size(now.sent - this.first.sent)} so far, ${size(Math.round(this.rate))}/s`;
    return fill(this.element, h("label", { class: "field" }, h("span", { class: "hint" }, words), h("progress", { class: "progress" })));
  }
}
