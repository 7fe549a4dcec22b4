// "As of": a bar that puts the whole browser at a revision or a time of the past.

import { getJson } from "../core/api.js";
import { button, fill, h, icon } from "../core/dom.js";
import { ago, count, moment } from "../core/format.js";
import { change } from "../core/places.js";

const SLIDING_MS = 120;

/** Return how far back the store can be read: `{oldest, head}`. Any token may ask. */
export async function reach() {
  const answer = await getJson("v1/changes", { limit: 1 });
  return { oldest: Math.max(1, answer.oldest_revision), head: answer.next_since };
}

/** Return when a revision was committed; null if it no longer can be told. */
async function timeOf(revision) {
  try {
    const { events } = await getJson("v1/changes", { since: revision - 1, limit: 1 });
    return events[0]?.time ?? null;
  } catch {
    return null;
  }
}

/** The bar; it is shown while it is open, or while the page is at a past moment. */
export class PastBar {
  constructor() {
    this.slider = h("input", { type: "range", class: "slider", "aria-label": "Revision", on: { input: () => this.slide() } });
    this.time = h("input", { type: "datetime-local", class: "input", step: "1", "aria-label": "Time", on: { change: () => this.time.value && change({ at: new Date(this.time.value).toISOString(), rev: "" }) } });
    this.words = h("span", { class: "past-words", role: "status" });
    this.element = h(
      "div",
      { class: "past", hidden: true, role: "group", "aria-label": "As of" },
      h("div", { class: "past-row" }, icon("clock"), this.words, button("Back to now", () => this.leave(), { class: "quiet" })),
      h("div", { class: "past-row" }, this.slider, this.time),
    );
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /** Show the moment of the URL. */
  async show({ rev, at, past }) {
    const isWanted = Boolean(past || rev || at);
    this.element.hidden = !isWanted;
    this.element.classList.toggle("is-past", Boolean(rev || at));
    if (!isWanted) {
      this.limits = null;
      return;
    }
    this.asked = `${rev} ${at}`;
    const asked = this.asked;
    try {
      this.limits ??= await reach();
    } catch (error) {
      fill(this.words, error.message);
      return;
    }
    const { oldest, head } = this.limits;
    this.slider.min = oldest;
    this.slider.max = head;
    if (!at) this.slider.value = rev ?? head;
    if (at) {
      this.time.value = moment(at).replace(" ", "T");
      fill(this.words, `As it was ${ago(at)}, at ${moment(at)}`);
      return;
    }
    const revision = Number(rev ?? head);
    fill(this.words, rev ? `At revision ${count(revision)}` : `Now, revision ${count(head)}; the past begins at ${count(oldest)}`);
    const time = rev && (await timeOf(revision));
    if (this.asked === asked && time) {
      this.time.value = moment(time).replace(" ", "T");
      fill(this.words, `As it was after revision ${count(revision)}, ${moment(time)} (${ago(time)})`);
    }
  }

  slide() {
    const revision = Number(this.slider.value);
    fill(this.words, `At revision ${count(revision)}`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => change({ rev: revision === this.limits.head ? "" : revision, at: "", past: "1" }, { replace: true }), SLIDING_MS);
  }

  leave() {
    this.time.value = "";
    change({ rev: "", at: "", past: "" });
  }
}
