// What the server is: its service document, read once and again after it was restarted.

import { getJson, onOutcome } from "./api.js";

let known = null;
let asked = null;

/** Return the service document; asks the server once. */
export function service() {
  asked ??= getJson("v1").then(
    (document) => (known = document),
    (error) => {
      asked = null;
      throw error;
    },
  );
  return asked;
}

/** Ask again. */
export function renewService() {
  asked = null;
  return service();
}

/** Return whether the server takes writes, as far as is known: no button is shown that cannot work. */
export function isWritable() {
  return known !== null && !known.read_only;
}

/** Return a limit of the server. */
export function limit(name, otherwise) {
  return known?.limits[name] ?? otherwise;
}

onOutcome(({ ok, error }) => {
  if (!ok && error.status === 0) asked = null;
});
