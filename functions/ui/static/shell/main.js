// The frame around every view: navigation, what the server is, the theme, the keyboard.

import { onOutcome } from "../core/api.js";
import { fill, h, setText } from "../core/dom.js";
import { offerKeys } from "../core/keyboard.js";
import { currentPlace, goTo, onPlace } from "../core/places.js";
import { renewService, service } from "../core/server.js";
import { setTheme, theme, token } from "../core/session.js";
import { loadStyle } from "../core/styles.js";
import "../keys/view.js";
import { askForToken } from "./access.js";
import { failure, showLoading } from "./dialogs.js";

// Views are loaded when they are opened. `isEarly`: it shows what it can before it is known what the server is.
const VIEWS = {
  keys: { tag: "rundlet-keys", load: () => import("../keys/view.js"), isEarly: true },
  changes: { tag: "rundlet-changes", load: () => import("../changes/view.js") },
  deleted: { tag: "rundlet-deleted", load: () => import("../history/deleted.js") },
  overview: { tag: "rundlet-overview", load: () => import("../overview/view.js") },
  transfer: { tag: "rundlet-transfer", load: () => import("../transfer/view.js") },
  tokens: { tag: "rundlet-tokens", load: () => import("../tokens/view.js") },
};

const main = document.getElementById("main");
const status = document.querySelector(".server-status");
const nav = document.querySelector(".nav");
let shown = null;
// A view that comes sooner replaces the one before it without a flicker.
const LOADING_MS = 120;

/** The page brings the frame; here its controls begin to work. */
function animateFrame() {
  const clicks = { ".skip": (event) => (event.preventDefault(), main.focus()), "#theme": nextTheme, "#token": () => askForToken(), "#help": showHelp };
  for (const [selector, listener] of Object.entries(clicks)) document.querySelector(selector).addEventListener("click", listener);
}

async function showHelp() {
  (await import("./help.js")).showHelp();
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
  const { view } = currentPlace();
  const entry = VIEWS[view];
  for (const item of nav.children) {
    if (item.dataset.view === view) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  if (!entry) return goTo("keys", {}, { replace: true });
  document.title = `${nav.querySelector("[aria-current]").title} – Rundlet`;
  if (shown?.tag !== entry.tag) await build(entry);
  shown.element?.show(currentPlace().options);
}

/** Put a view in the place of the one that is shown, unless another is opened meanwhile. */
async function build({ tag, load, isEarly }) {
  const mine = (shown = { tag });
  const waiting = setTimeout(() => shown === mine && showLoading(main), LOADING_MS);
  try {
    await Promise.all([load(), ...(isEarly ? [] : [loadStyle("views"), service().catch(() => {})])]);
    if (shown !== mine) return;
    mine.element = document.createElement(tag);
    fill(main, mine.element);
  } catch {
    if (shown === mine) fill(main, failure({ message: "This part of the dashboard did not load. Reload the page." }, () => location.reload()));
  } finally {
    clearTimeout(waiting);
  }
}

function describeServer({ version, backend, read_only }) {
  fill(
    status,
    h("span", { class: "dot", "data-state": "ok" }),
    h("span", {}, `${version} · ${backend}`),
    read_only && h("span", { class: "tag" }, "read-only"),
  );
  window.dispatchEvent(new Event("service"));
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

animateFrame();
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
const known = service();
show();
known.then(describeServer, () => setText(status, "Not connected"));
