// The rows of a list of keys: pages by cursor, all of one snapshot, with bounded memory.

import { getJson, isAbort, send } from "../core/api.js";
import { limit } from "../core/server.js";

const PAGE_KEYS = 500;
// Pages get longer as long as the reader is at the end of what there is: fewer requests, and still short to parse.
const PAGE_KEYS_MAX = 2_000;
const KEYS_HELD = 40_000;

/** How many keys a selection has; `KV-Count` of HEAD. */
export async function countKeys(selection, signal) {
  const { prefix, match, rev, at } = selection;
  const answer = await send("v1/keys", { method: "HEAD", query: { prefix, match, rev, at }, signal });
  return Number(answer.headers.get("KV-Count"));
}

/** Keys in the store's order, loaded as far as they are looked at; far pages are dropped and loaded again. */
export class Listing {
  /** `selection`: prefix, match, reverse, start, rev, at. `onChange()` is called when rows came or failed. */
  constructor(selection, onChange) {
    this.selection = selection;
    this.onChange = onChange;
    this.pages = [];
    this.length = 0;
    this.isComplete = false;
    this.error = null;
    this.revision = null;
    this.aborting = new AbortController();
    this.clock = 0;
    this.rowsMax = Infinity;
    const { prefix, match, start, reverse, rev, at } = selection;
    this.pageKeys = Math.min(PAGE_KEYS, limit("list_keys_max", PAGE_KEYS));
    this.next = { path: "v1/keys", query: { prefix, match, start, reverse: reverse ? "true" : "", rev, at, limit: this.pageKeys } };
  }

  /** Return a row `{kind: "key", info}`, or null while it is being loaded. */
  row(index) {
    const page = this.pageAt(index);
    const info = page?.keys?.[index - page.first];
    return info ? { kind: "key", info, name: info.key, depth: 0 } : null;
  }

  /** Return where a key is among the rows that are loaded, or -1. */
  indexOf(key) {
    for (const page of this.pages) {
      const found = page.keys?.findIndex((info) => info.key === key) ?? -1;
      if (found >= 0) return page.first + found;
    }
    return -1;
  }

  /** Load what these rows need, and the page after them. */
  ensure(first, last) {
    this.wanted = last;
    for (let index = first; index <= Math.min(last, this.length - 1); ) {
      const page = this.pageAt(index);
      page.used = ++this.clock;
      if (!page.keys && !page.isLoading) this.load(page);
      index = page.first + page.count;
    }
    if (!this.isComplete && !this.isCut && !this.isGrowing && !this.error && last >= this.length - PAGE_KEYS) this.grow();
  }

  /** There are more keys than a page can place. */
  get isCut() {
    return !this.isComplete && this.length >= this.rowsMax;
  }

  /** The last key that is listed. */
  get lastKey() {
    return this.row(this.length - 1)?.info.key;
  }

  retry() {
    this.error = null;
    this.ensure(Math.max(0, this.length - 1), this.length);
  }

  close() {
    this.aborting.abort();
  }

  pageAt(index) {
    let low = 0;
    let high = this.pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pages[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    return this.pages[low];
  }

  async grow() {
    this.isGrowing = true;
    const page = { ...this.next, first: this.length, used: ++this.clock };
    const answer = await this.fetch(page);
    this.isGrowing = false;
    if (!answer) return;
    page.count = page.keys.length;
    this.revision = answer.revision;
    if (page.count) this.pages.push(page);
    this.length += page.count;
    this.isComplete = !answer.next;
    if (this.wanted >= page.first && page.first) this.pageKeys = Math.min(2 * this.pageKeys, PAGE_KEYS_MAX, limit("list_keys_max", PAGE_KEYS));
    if (answer.next) this.next = { path: answer.next.replace(/^\//, "").replace(/\blimit=\d+/, `limit=${this.pageKeys}`), query: {} };
    this.forget();
    this.onChange();
  }

  async load(page) {
    page.isLoading = true;
    if (await this.fetch(page)) this.forget();
    page.isLoading = false;
    this.onChange();
  }

  async fetch(page) {
    try {
      const answer = await getJson(page.path, page.query, this.aborting.signal);
      page.keys = answer.keys;
      return answer;
    } catch (error) {
      if (!isAbort(error)) {
        this.error = error;
        this.onChange();
      }
      return null;
    }
  }

  forget() {
    const held = this.pages.filter((page) => page.keys);
    let extra = held.reduce((sum, page) => sum + page.count, 0) - KEYS_HELD;
    if (extra <= 0) return;
    held.sort((a, b) => a.used - b.used);
    for (const page of held) {
      if (extra <= 0) return;
      extra -= page.count;
      page.keys = null;
    }
  }
}
