// Every view has a URL, in the fragment: a key in it reaches neither proxies nor their logs, and no
// client rewrites its dots and slashes.

/** Return the view and its options that a fragment names, as `#/keys?prefix=a/`. */
export function placeOf(fragment) {
  const [path, query = ""] = fragment.replace(/^#?\/?/, "").split(/\?(.*)/s);
  return { view: path || "keys", options: Object.fromEntries(new URLSearchParams(query)) };
}

/** Return the fragment of a view; options without a value are left out. */
export function fragmentOf(view, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) query.set(name, value);
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/** Return where the page is. */
export function currentPlace() {
  return placeOf(location.hash);
}

/** Go to a view; `replace` leaves no step in the browser's history. */
export function goTo(view, options = {}, { replace = false } = {}) {
  const fragment = fragmentOf(view, options);
  if (fragment === location.hash) return;
  if (replace) history.replaceState(null, "", fragment);
  else history.pushState(null, "", fragment);
  window.dispatchEvent(new Event("place"));
}

/** Change options of the current view. */
export function change(options, settings = {}) {
  const place = currentPlace();
  goTo(place.view, { ...place.options, ...options }, settings);
}

/** Call a listener whenever the place changes, by a link, a button or the browser's own. */
export function onPlace(listener) {
  window.addEventListener("place", listener);
  window.addEventListener("popstate", listener);
}
