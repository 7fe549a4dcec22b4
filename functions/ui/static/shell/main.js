// The frame around every view: navigation, what the server is, the theme, the keyboard.

import { onOutcome } from "../core/api.js";
import { button, fill, h, icon, iconButton, setText } from "../core/dom.js";
import { offerKeys } from "../core/keyboard.js";
import { currentPlace, fragmentOf, goTo, onPlace } from "../core/places.js";
import { renewService, service } from "../core/server.js";
import { setTheme, showTheme, theme, token } from "../core/session.js";
import "../keys/view.js";
import { askForToken } from "./access.js";
import { showHelp } from "./help.js";
import { failure } from "./dialogs.js";

// Views other than the first are loaded when they are opened.
const VIEWS = {
  keys: { title: "Keys", tag: "rundlet-keys", load: () => import("../keys/view.js") },
  changes: { title: "Changes", tag: "rundlet-changes", load: () => import("../changes/view.js") },
  deleted: { title: "Deleted", tag: "rundlet-deleted", load: () => import("../history/deleted.js") },
  overview: { title: "Overview", tag: "rundlet-overview", load: () => import("../overview/view.js") },
  transfer: { title: "Import, export", tag: "rundlet-transfer", load: () => import("../transfer/view.js") },
  tokens: { title: "Tokens", tag: "rundlet-tokens", load: () => import("../tokens/view.js") },
};

const main = h("main", { class: "main", id: "main", tabindex: "-1" });
const status = h("div", { class: "server-status" });
const nav = h("nav", { class: "nav", "aria-label": "Views" });
let shown = null;

function buildFrame() {
  fill(
    nav,
    Object.entries(VIEWS).map(([name, { title }]) => h("a", { class: "nav-item", href: fragmentOf(name), "data-view": name, title }, icon(name), h("span", {}, title))),
  );
  const tools = h(
    "div",
    { class: "tools" },
    status,
    h("div", { class: "tool-row" }, iconButton("theme", "Theme", nextTheme, { id: "theme" }), button("Token", () => askForToken(), { class: "quiet" }), button("?", showHelp, { class: "icon-button", "aria-label": "Keyboard", title: "Keyboard (?)" })),
  );
  document.body.append(
    h("a", { class: "skip", href: "#main", on: { click: (event) => (event.preventDefault(), main.focus()) } }, "Skip to the content"),
    h("aside", { class: "side" }, h("a", { class: "brand", href: fragmentOf("keys"), "aria-label": "Rundlet" }, h("span", { class: "barrel", "aria-hidden": "true" }), h("span", {}, "Rundlet")), nav, tools),
    main,
  );
}

function nextTheme() {
  const order = ["auto", "light", "dark"];
  setTheme(order[(order.indexOf(theme()) + 1) % 3]);
  describeTheme();
}

function describeTheme() {
  const text = `Theme: ${{ auto: "as the system", light: "light", dark: "dark" }[theme()]}`;
  const control = document.getElementById("theme");
  control.title = text;
  control.setAttribute("aria-label", text);
}

async function show() {
  const { view, options } = currentPlace();
  const entry = VIEWS[view];
  for (const item of nav.children) {
    if (item.dataset.view === view) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  if (!entry) return goTo("keys", {}, { replace: true });
  document.title = `${entry.title} – Rundlet`;
  if (shown?.tag !== entry.tag) {
    shown = { tag: entry.tag };
    try {
      await entry.load();
    } catch {
      if (shown.tag === entry.tag) fill(main, failure({ message: "This part of the dashboard did not load. Reload the page." }, () => location.reload()));
      return;
    }
    if (shown.tag !== entry.tag) return;
    shown.element = document.createElement(entry.tag);
    fill(main, shown.element);
  }
  shown.element?.show(currentPlace().options ?? options);
}

function describeServer({ version, backend, read_only }) {
  fill(
    status,
    h("span", { class: "dot", "data-state": "ok" }),
    h("span", {}, `${version} · ${backend}`),
    read_only && h("span", { class: "tag" }, "read-only"),
  );
  status.title = token() ? "Connected with a token" : "Connected";
}

function again() {
  shown = null;
  show();
}

// While the server does not answer, ask again until it does, and then show the view anew.
let isAway = false;
onOutcome(({ ok, error }) => {
  if (ok || error.status !== 0 || isAway) return;
  isAway = true;
  fill(status, h("span", { class: "dot", "data-state": "bad" }), h("span", {}, "The server does not answer"));
  const retry = () =>
    renewService().then(
      (document) => {
        isAway = false;
        describeServer(document);
        window.dispatchEvent(new Event("online-again"));
      },
      (failed) => setTimeout(retry, failed.status ? 5000 : 1000),
    );
  setTimeout(retry, 1000);
});

showTheme();
buildFrame();
describeTheme();
offerKeys([
  { key: "?", text: "This help", run: showHelp },
  { key: "g", text: "Keys", run: () => goTo("keys") },
  { key: "d", text: "Deleted keys", run: () => goTo("deleted") },
  { key: "o", text: "Overview", run: () => goTo("overview") },
  { key: "c", text: "Changes", run: () => goTo("changes") },
]);
onPlace(show);
window.addEventListener("access", () => {
  again();
  service().then(describeServer, () => {});
});
await service().then(describeServer, () => setText(status, "Not connected"));
show();
