// "Copy as": a menu with what is on the screen as a command.

import { button, fill, h, icon } from "../core/dom.js";
import { notify } from "./dialogs.js";

/** Put a text on the clipboard, and say so. */
export async function copyText(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages over plain HTTP from another machine have no clipboard of their own.
    const area = h("textarea", { class: "offscreen", value: text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notify(what);
}

/** Return a button with a menu; `describe()` returns the act of `core/commands.js` that is shown now. */
export function copyMenu(describe) {
  const menu = h("div", { class: "menu", role: "menu", popover: "auto" });
  const opener = button([icon("copy"), h("span", {}, "Copy as")], open, { class: "quiet copy-as", "aria-label": "Copy as", "aria-haspopup": "menu", title: "Copy as a command" });
  async function open() {
    const { commandsOf } = await import("../core/commands.js");
    const items = Object.entries(commandsOf(describe())).map(([language, text]) =>
      h(
        "button",
        { type: "button", role: "menuitem", class: "menu-item", on: { click: () => (menu.hidePopover(), copyText(text, `Copied for ${language}`)) } },
        h("span", { class: "menu-name" }, language),
        h("code", {}, text.length > 300 ? `${text.slice(0, 300)}…` : text),
      ),
    );
    fill(menu, items);
    menu.showPopover();
    const box = opener.getBoundingClientRect();
    menu.style.top = `${Math.min(box.bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
    menu.style.left = `${Math.max(8, Math.min(box.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8))}px`;
    items[0]?.focus();
  }
  menu.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...menu.children];
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  });
  return h("span", { class: "copy-anchor" }, opener, menu);
}
