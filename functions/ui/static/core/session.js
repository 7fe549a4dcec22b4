// What this tab remembers: the token, for the tab only; and the theme, for the browser.

const TOKEN = "rundlet-token";
const THEME = document.documentElement.dataset.themeKey;

/** Return the token that requests are sent with; an empty text if there is none. */
export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** Keep a token until the tab is closed; an empty text forgets it. */
export function setToken(secret) {
  if (secret) sessionStorage.setItem(TOKEN, secret);
  else sessionStorage.removeItem(TOKEN);
}

/** Return `light`, `dark` or `auto`. */
export function theme() {
  return localStorage.getItem(THEME) ?? "auto";
}

/** Choose a theme and show it; `auto` follows the system. `shell/theme.js` shows it to the next page. */
export function setTheme(name) {
  localStorage.setItem(THEME, name);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
