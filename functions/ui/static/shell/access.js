// The token: asked for when the server needs one, kept for this tab.

import { onOutcome } from "../core/api.js";
import { button, field, h } from "../core/dom.js";
import { setToken, token } from "../core/session.js";
import { renewService } from "../core/server.js";
import { openDialog } from "./dialogs.js";

let asking = null;

/** Ask for a token, and load the view again with it. */
export function askForToken(reason = "") {
  asking ??= openDialog("Access token", (close) => {
    const input = h("input", { class: "input mono", type: "password", autocomplete: "off", autofocus: true, value: "", placeholder: "Token" });
    const keep = (event) => {
      event.preventDefault();
      setToken(input.value.trim());
      close(true);
    };
    return h(
      "form",
      { class: "stack", on: { submit: keep } },
      reason && h("p", { class: "problem", role: "alert" }, reason),
      field("Token", input, "This tab keeps it until you close it. It is sent to this server only."),
      h(
        "div",
        { class: "actions" },
        token() && button("Forget the token", () => (setToken(""), close(true))),
        h("button", { type: "submit", class: "primary" }, "Use this token"),
      ),
    );
  }).then((isChanged) => {
    asking = null;
    if (!isChanged) return;
    renewService().catch(() => {});
    window.dispatchEvent(new Event("access"));
  });
  return asking;
}

onOutcome(({ ok, error }) => {
  if (!ok && error.status === 401) askForToken(error.message);
});
