// Style sheets that the first view does not need.

const asked = new Map();

/** Load a sheet of `style/` once, by its name; the promise ends when it applies. */
export function loadStyle(name) {
  if (!asked.has(name)) asked.set(name, load(new URL(`../style/${name}.css`, import.meta.url).href));
  return asked.get(name);
}

function load(href) {
  return new Promise((resolve) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    // A view without its style is better than none.
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}
