// A new token: what it may do, and its secret, which is shown once.

import { postJson } from "../core/api.js";
import { button, field, fill, h } from "../core/dom.js";
import { setToken, token as ownToken } from "../core/session.js";
import { Lifetime } from "../edit/lifetime.js";
import { copyMenu, copyText } from "../shell/copying.js";
import { confirm, openDialog } from "../shell/dialogs.js";

/** Ask what the token may do, create it, and show its secret. Return whether one was created. */
export async function createToken({ isFirst }) {
  const made = await openDialog("New token", (close) => formOf(isFirst, close));
  if (!made) return false;
  await showSecret(made);
  return true;
}

function formOf(isFirst, close) {
  const name = h("input", { class: "input", required: true, maxlength: "64", autofocus: true, autocomplete: "off" });
  const scope = h("select", { class: "input" }, [["read", "read"], ["write", "write: and read"], ["admin", "admin: everything"]].map(([value, label]) => h("option", { value }, label)));
  scope.value = isFirst ? "admin" : "read";
  const prefix = h("input", { class: "input mono", autocomplete: "off", spellcheck: "false", placeholder: "all keys" });
  const lifetime = new Lifetime();
  const problem = h("p", { class: "problem", role: "alert" });
  const body = () => {
    const ttl = lifetime.ttl();
    return { name: name.value, scope: scope.value, ...(prefix.value && { prefix: prefix.value }), ...(ttl && { expires: new Date(Date.now() + ttl * 1000).toISOString() }) };
  };
  const create = async (event) => {
    event.preventDefault();
    if (act.disabled || (isFirst && !(await confirmFirst(body())))) return;
    act.disabled = true;
    try {
      close(await postJson("v1/tokens", body()));
    } catch (error) {
      act.disabled = false;
      fill(problem, error.message);
    }
  };
  const act = h("button", { type: "submit", class: "primary" }, "Create");
  return h(
    "form",
    { class: "stack", on: { submit: create } },
    field("Name", name, "Tells tokens apart in lists and in the audit trail."),
    field("Scope", scope),
    field("Prefix", prefix, "Only for keys that begin with it."),
    field("Expires", lifetime.element),
    problem,
    h("div", { class: "actions" }, copyMenu(() => ({ act: "createToken", ...body(), name: name.value || "NAME" })), h("span", { class: "spring" }), button("Cancel", () => close(undefined)), act),
  );
}

function confirmFirst({ scope, prefix }) {
  const isManager = scope === "admin" && !prefix;
  const text = [
    "From then on the server refuses every request without a token, also those of programs that work now.",
    isManager ? "This tab goes on with the new token." : h("p", { class: "problem" }, "This token cannot manage tokens. You could then create others only on the server's machine, with rundlet token add."),
  ];
  return confirm("Turn authentication on?", text, { verb: "Turn it on", isDangerous: !isManager });
}

function showSecret({ token: secret, name, scope, prefix, turned_authentication_on: isFirst }) {
  const isUsed = isFirst || !ownToken();
  if (isUsed && scope === "admin" && !prefix) {
    setToken(secret);
  }
  return openDialog(`Token ${name}`, (close) =>
    h(
      "div",
      { class: "stack" },
      isFirst && h("div", { class: "banner" }, "Authentication is on."),
      h("p", {}, "Copy the secret now: it is not shown again."),
      h("code", { class: "secret" }, secret),
      h("div", { class: "actions" }, button("Copy", () => copyText(secret, "Secret copied"), { class: "primary", autofocus: true }), button("Done", () => close(true))),
    ),
  );
}
