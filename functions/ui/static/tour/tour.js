// The tour of an empty store: three commands, each ticked off once the store has seen it, or sample data.

import { getJson } from "../core/api.js";
import { commandsOf } from "../core/commands.js";
import { button, fill, h, iconButton, setText } from "../core/dom.js";
import { change } from "../core/places.js";
import { copyText } from "../shell/copying.js";
import { notify } from "../shell/dialogs.js";
import { loadSamples } from "./loading.js";

const KEY = "greeting";
const LOOK_MS = 1500;
const TYPE = "text/plain";

const STEPS = [
  { title: "Store a value", act: { act: "put", key: KEY, text: "hello", type: TYPE }, isDone: (version) => version >= 1 },
  { title: "Replace it", act: { act: "put", key: KEY, text: "welcome", type: TYPE }, isDone: (version) => version >= 2 },
  { title: "See both versions", act: { act: "history", key: KEY }, isDone: () => false },
];

/** Shows the tour. `onLook(count, revision)` is told what the store has; `onKeys()`, that it has other keys than the tour's. */
export class Tour {
  constructor({ onKeys, onLook }) {
    this.onKeys = onKeys;
    this.onLook = onLook;
    this.language = "curl";
    this.version = 0;
    this.languages = h("div", { class: "segments", role: "group", "aria-label": "Language of the commands" }, ["curl", "rundlet"].map((name) => button(name, () => this.speak(name), { "data-language": name })));
    this.steps = h("ol", { class: "tour-steps" });
    this.loader = button("Load sample data", () => this.load(), { class: "primary" });
    this.element = h(
      "section",
      { class: "tour", "aria-label": "First steps" },
      h("header", { class: "tour-head" }, h("h2", {}, "No keys yet"), h("span", { class: "spring" }), this.languages),
      h("p", { class: "muted" }, "Three commands show what this store does. Run them in a terminal; this page follows."),
      this.steps,
      h("footer", { class: "tour-foot" }, h("p", {}, "Or look around first: a small café below ", h("code", {}, "demo/"), ", with a release to roll back."), this.loader),
    );
    this.draw();
    this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  speak(language) {
    this.language = language;
    this.draw();
  }

  draw() {
    for (const each of this.languages.children) each.setAttribute("aria-pressed", String(each.dataset.language === this.language));
    fill(this.steps, STEPS.map((step, index) => this.drawStep(step, index)));
  }

  drawStep({ title, act, isDone }, index) {
    const command = commandsOf(act)[this.language];
    const done = isDone(this.version);
    const isLast = index === STEPS.length - 1;
    return h(
      "li",
      { class: "tour-step", "data-done": String(done) },
      h("h3", {}, title, done && h("span", { class: "tour-done" }, " – done")),
      h("div", { class: "tour-command" }, h("code", { tabindex: "0", "aria-label": `Command: ${title}` }, command), iconButton("copy", `Copy the command: ${title}`, () => copyText(command))),
      isLast && this.version >= 1 && button("Open the history here", () => change({ key: KEY, pane: "history" }), { class: "link" }),
    );
  }

  /** Ask what the store has by now; the server may be away meanwhile. */
  async look() {
    if (!this.element.isConnected) return this.close();
    if (document.hidden) return undefined;
    const page = await getJson("v1/keys", { limit: 2 }).catch(() => null);
    if (!page) return undefined;
    const { keys, revision } = page;
    if (keys.some(({ key }) => key !== KEY)) return this.onKeys();
    this.onLook(keys.length, revision);
    const version = keys[0]?.version ?? 0;
    if (version !== this.version) {
      this.version = version;
      this.draw();
    }
    return undefined;
  }

  async load() {
    this.close();
    this.loader.disabled = true;
    try {
      const key = await loadSamples((done, all) => setText(this.loader, `Loading ${done + 1} of ${all}…`));
      notify("Sample data loaded");
      change({ tree: "1", prefix: "demo/", key });
    } catch (error) {
      this.loader.disabled = false;
      setText(this.loader, "Load sample data");
      notify(error.message, { isError: true });
    }
  }
}
