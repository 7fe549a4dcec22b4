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

const ICONS = {
  keys: "M3 6h13M3 12h13M3 18h9M20 6h1M20 12h1M17 18h4",
  changes: "M3 12h4l3-8 4 16 3-8h4",
  deleted: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  overview: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  tokens: "M15 9a4 4 0 1 0-4 4l1-.2L14 15h2v2h2v2h3v-3l-6.200-6.200",
  transfer: "M8 3v13M4 12l4 4 4-4M16 21V8M12 12l4-4 4 4",
  menu: "M4 6h16M4 12h16M4 18h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  close: "M6 6l12 12M18 6L6 18",
  search: "M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14M16 16l5 5",
  clock: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M12 7v5l4 2",
  right: "M9 5l7 7-7 7",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  plus: "M12 5v14M5 12h14",
  back: "M19 12H5M11 6l-6 6 6 6",
};

/** Return a picture of the set, hidden from screen readers: the control around it has a label. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) {
    picture.setAttribute(key, value);
  }
  path.setAttribute("d", ICONS[name]);
  picture.append(path);
  return picture;
}

/** Return a button; `attributes` as for `h`. */
export function button(label, onClick, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click: onClick } }, label);
}

/** Return a button that shows a picture only. */
export function iconButton(name, label, onClick, attributes = {}) {
  return button(icon(name), onClick, { class: "icon-button", "aria-label": label, title: label, ...attributes });
}

/** Return a labelled control of a form. */
export function field(label, control, hint = null) {
  return h("label", { class: "field" }, h("span", { class: "field-label" }, label), control, hint && h("span", { class: "hint" }, hint));
}
