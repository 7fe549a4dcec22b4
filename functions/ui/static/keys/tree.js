// The rows of a tree: prefixes up to a delimiter are folders, opened one by one, with their counts.

import { getJson, isAbort } from "../core/api.js";
import { countKeys } from "./listing.js";

const PAGE_KEYS = 500;
const COUNTS_AT_ONCE = 4;

/** Folders and keys below a prefix. The same interface as `Listing`. */
export class Tree {
  constructor(selection, onChange) {
    this.selection = selection;
    this.onChange = onChange;
    this.rows = [];
    this.error = null;
    this.revision = null;
    this.counts = new Map();
    this.counting = 0;
    this.aborting = new AbortController();
    this.root = this.node(selection.prefix ?? "", 0);
    this.root.isOpen = true;
    this.loadMore(this.root);
  }

  get length() {
    return this.rows.length;
  }

  get isComplete() {
    return this.root.isLoaded;
  }

  row(index) {
    return this.rows[index] ?? null;
  }

  indexOf(key) {
    return this.rows.findIndex((row) => row.kind === "key" && row.info.key === key);
  }

  /** Count the keys of the folders that are looked at. */
  ensure(first, last) {
    for (const row of this.rows.slice(first, last + 1)) {
      if (row.kind !== "folder" || this.counts.has(row.prefix) || this.counting >= COUNTS_AT_ONCE) continue;
      this.counts.set(row.prefix, null);
      this.counting += 1;
      countKeys({ ...this.selection, prefix: row.prefix }, this.aborting.signal)
        .then((count) => this.counts.set(row.prefix, count), () => {})
        .finally(() => {
          this.counting -= 1;
          this.onChange();
        });
    }
  }

  /** Open or close a folder, or load the rest of one. */
  toggle(row) {
    if (row.kind === "more") return this.loadMore(row.node);
    row.node.isOpen = !row.node.isOpen;
    if (row.node.isOpen && !row.node.isBegun) this.loadMore(row.node);
    this.flatten();
    return undefined;
  }

  retry() {
    this.error = null;
    this.loadMore(this.root);
  }

  close() {
    this.aborting.abort();
  }

  node(prefix, depth) {
    return { prefix, depth, folders: [], keys: [], next: null, isOpen: false, isBegun: false, isLoaded: false, isLoading: false };
  }

  async loadMore(node) {
    if (node.isLoading) return;
    node.isLoading = node.isBegun = true;
    const { reverse, rev, at, delimiter } = this.selection;
    const first = { prefix: node.prefix, delimiter, reverse: reverse ? "true" : "", rev, at, limit: PAGE_KEYS };
    try {
      const answer = await (node.next ? getJson(node.next.replace(/^\//, ""), {}, this.aborting.signal) : getJson("v1/keys", first, this.aborting.signal));
      this.revision = answer.revision;
      for (const prefix of answer.prefixes) node.folders.push(this.node(prefix, node.depth + 1));
      node.keys.push(...answer.keys);
      node.next = answer.next ?? null;
      node.isLoaded = !answer.next;
    } catch (error) {
      if (isAbort(error)) return;
      this.error = error;
      node.isBegun = node.isLoaded || node.keys.length > 0;
    }
    node.isLoading = false;
    this.flatten();
  }

  flatten() {
    this.rows = [];
    this.add(this.root);
    this.onChange();
  }

  add(node) {
    const { prefix, depth } = node;
    for (const folder of node.folders) {
      this.rows.push({ kind: "folder", node: folder, prefix: folder.prefix, name: folder.prefix.slice(prefix.length), depth, isOpen: folder.isOpen });
      if (folder.isOpen) this.add(folder);
    }
    for (const info of node.keys) this.rows.push({ kind: "key", info, name: info.key.slice(prefix.length) || info.key, depth });
    if (node.isLoading) this.rows.push({ kind: "loading", depth });
    else if (node.next) this.rows.push({ kind: "more", node, depth });
  }
}
