// Changes that are not saved yet: they are there again when the key is opened again.

const drafts = new Map();

/** Return the draft of a key, or of a new one: `{text, type, base}`. */
export function draftOf(place) {
  return drafts.get(nameOf(place));
}

/** Keep what was written over a value as it was opened. */
export function keepDraft(place, draft) {
  drafts.set(nameOf(place), draft);
}

export function dropDraft(place) {
  drafts.delete(nameOf(place));
}

function nameOf({ key, isNew }) {
  return isNew ? "new" : `key ${key}`;
}

window.addEventListener("beforeunload", (event) => drafts.size && event.preventDefault());
