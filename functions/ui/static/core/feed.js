// The change feed over fetch: an EventSource cannot send a token. It goes on after what it has, without a loss.

import { isAbort, send } from "./api.js";

const RETRY_MS = [500, 1000, 2000, 5000];
// The server sends something every 15 seconds; a connection that is silent for longer is dead, whatever the system says.
const SILENCE_MS = 40_000;
const NETWORK = ["online", "offline"];

/** Follows the changes of a prefix. `on`: event(event), state("open" | "waiting" | "failed", error). */
export class Feed {
  constructor(prefix, since, on) {
    this.prefix = prefix;
    this.since = since;
    this.on = on;
    this.failures = 0;
    this.run();
    // A page in the background needs no connection: browsers open six to a server.
    this.onSight = () => (document.hidden ? this.pause() : this.run());
    document.addEventListener("visibilitychange", this.onSight);
    // A connection may outlive the network that it came over, and be silent from then on.
    this.onNetwork = () => this.again();
    for (const name of NETWORK) window.addEventListener(name, this.onNetwork);
  }

  close() {
    this.isClosed = true;
    this.pause();
    document.removeEventListener("visibilitychange", this.onSight);
    for (const name of NETWORK) window.removeEventListener(name, this.onNetwork);
  }

  /** Connect anew, after what has been read. */
  again() {
    this.pause();
    if (document.hidden) return;
    this.on.state("waiting");
    this.run();
  }

  pause() {
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    this.aborting?.abort();
    this.aborting = null;
  }

  async run() {
    if (this.isClosed || this.aborting) return;
    const aborting = (this.aborting = new AbortController());
    try {
      const query = { prefix: this.prefix, since: this.since };
      const answer = await send("v1/changes", { query, headers: { Accept: "application/x-ndjson" }, signal: aborting.signal });
      this.failures = 0;
      this.on.state("open");
      await this.read(answer.body.getReader());
    } catch (error) {
      if (isAbort(error) || aborting.signal.aborted) return;
      if (error.status >= 400 && error.status < 500) {
        this.aborting = null;
        this.on.state("failed", error);
        return;
      }
      this.on.state("waiting", error);
    }
    if (this.aborting !== aborting) return;
    clearTimeout(this.watch);
    this.aborting = null;
    this.timer = setTimeout(() => this.run(), RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
  }

  async read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => this.again(), SILENCE_MS);
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) this.take(JSON.parse(line));
    }
  }

  /** A commit is shown as a whole, so that a feed that breaks within one goes on at its beginning. */
  take(item) {
    if (item.next_since !== undefined) {
      this.since = item.next_since;
      return;
    }
    if (!item.key) return;
    this.pending ??= [];
    if (this.pending.length && this.pending[0].revision !== item.revision) this.pending = [];
    this.pending.push(item);
    if (!item.last) return;
    const events = this.pending;
    this.pending = [];
    this.since = item.revision;
    for (const event of events) this.on.event(event);
  }
}
