// Build and change elements. Texts become text nodes, never markup: what is stored cannot run.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "readOnly", "textContent", "srcdoc"]);

/** Return an element. `attributes.on` holds listeners by event; absent (null, false) ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (PROPERTIES.has(name)) {
      element[name] = value;
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace all children. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set the text of an element if it is another one: setting it costs a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return a picture of the set in the page, hidden from screen readers: the control around it has a label. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  picture.append(use);
  return picture;
}

/** Return a button; `attributes` as for `h`. As long as what it began goes on (a promise), more clicks do nothing. */
export function button(label, onClick, attributes = {}) {
  const click = async (event) => {
    if (element.getAttribute("aria-busy")) return;
    const work = onClick(event);
    if (!(work instanceof Promise)) return;
    element.setAttribute("aria-busy", "true");
    await work.finally(() => element.removeAttribute("aria-busy"));
  };
  const element = h("button", { type: "button", ...attributes, on: { click } }, label);
  return element;
}

/** Return a button that shows a picture only. */
export function iconButton(name, label, onClick, attributes = {}) {
  return button(icon(name), onClick, { class: "icon-button", "aria-label": label, title: label, ...attributes });
}

/** Return a labelled control of a form. */
export function field(label, control, hint = null) {
  return h("label", { class: "field" }, h("span", { class: "field-label" }, label), control, hint && h("span", { class: "hint" }, hint));
}
