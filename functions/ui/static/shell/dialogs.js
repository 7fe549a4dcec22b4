// Dialogs and short notices.

import { button, fill, h, iconButton } from "../core/dom.js";

/** Open a dialog; `build(close)` returns its content. Return a promise of what `close` is called with. */
export function openDialog(title, build, { isWide = false } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const dialog = h("dialog", { class: isWide ? "dialog wide" : "dialog", "aria-label": title });
    let outcome;
    const close = (value) => {
      outcome = value;
      dialog.close();
    };
    dialog.append(
      h("header", { class: "dialog-head" }, h("h2", {}, title), iconButton("close", "Close", () => close(undefined))),
      h("div", { class: "dialog-body" }, build(close)),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(outcome);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && close(undefined));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/** Ask before something is done; with `typed`, the user must type that text first. Return true or undefined. */
export function confirm(title, text, { verb, typed = null, isDangerous = true } = {}) {
  return openDialog(title, (close) => {
    const act = button(verb, () => close(true), { class: isDangerous ? "danger" : "primary", autofocus: typed === null });
    const input = h("input", { class: "input", autocomplete: "off", autofocus: true, inputmode: "numeric", "aria-label": `Type ${typed} to confirm` });
    const check = () => (act.disabled = input.value.replaceAll(",", "").trim() !== String(typed));
    if (typed !== null) check();
    const form = h(
      "form",
      { class: "stack", on: { submit: (event) => (event.preventDefault(), !act.disabled && close(true)) } },
      [text].flat().map((each) => (typeof each === "string" ? h("p", {}, each) : each)),
      typed !== null && h("label", { class: "field" }, h("span", { class: "field-label" }, `Type ${typed} to confirm`), input),
      h("div", { class: "actions" }, button("Cancel", () => close(undefined)), act),
    );
    input.addEventListener("input", check);
    return form;
  });
}

const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });

/** Show a notice for a few seconds. */
export function notify(text, { isError = false } = {}) {
  if (!notices.isConnected) document.body.append(notices);
  const notice = h("div", { class: isError ? "notice is-error" : "notice" }, text);
  notices.append(notice);
  setTimeout(() => notice.remove(), isError ? 8000 : 3500);
}

/** Return what stands in a place that could not be filled: the API's own words, and a way on. */
export function failure(error, retry = null) {
  return h(
    "div",
    { class: "empty", role: "alert" },
    h("p", { class: "empty-title" }, error.status ? `${error.problem?.title ?? "Refused"} (${error.status})` : "No answer"),
    h("p", {}, error.message),
    retry && button("Try again", retry),
  );
}

/** Return what stands in a place where there is nothing. */
export function emptiness(title, text, ...actions) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", {}, text), actions.length > 0 && h("div", { class: "actions" }, actions));
}

/** Fill an element with grey bars, as long as an answer is awaited. */
export function showLoading(element, lines = 6) {
  fill(element, h("div", { class: "skeleton", role: "status", "aria-busy": "true", "aria-label": "Loading" }, Array.from({ length: lines }, () => h("div", { class: "bar" }))));
}
