// The keys of the keyboard that work now.

import { h } from "../core/dom.js";
import { offeredKeys } from "../core/keyboard.js";
import { openDialog } from "./dialogs.js";

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", " ": "Space", Enter: "↵" };

/** Show them. */
export function showHelp() {
  const rows = offeredKeys().filter(({ text }) => text);
  const texts = [...new Set(rows.map(({ text }) => text))];
  return openDialog("Keyboard", () =>
    h(
      "dl",
      { class: "key-list" },
      texts.map((text) => [
        h("dt", {}, rows.filter((row) => row.text === text).map(({ key }) => h("kbd", {}, NAMES[key] ?? key))),
        h("dd", {}, text),
      ]),
    ),
  );
}
