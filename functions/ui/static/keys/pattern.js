// Patterns of keys: `*` and `?` stand for any characters, slashes too, `[…]` for one of a set. The server matches them.

/** Return a text of the search box as `{prefix, match}`: the part before the first wildcard, and the pattern of the rest. */
export function searchOf(text) {
  const at = text.search(/[*?[]/);
  return at < 0 ? { prefix: text, match: "" } : { prefix: text.slice(0, at), match: text.slice(at) };
}
