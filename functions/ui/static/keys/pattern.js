// Patterns of keys: `*` and `?` stand for any characters, slashes too, `[…]` for one of a set.

/** Return a text of the search box as `{prefix, match}`: the part before the first wildcard, and the pattern of the rest. */
export function searchOf(text) {
  const at = text.search(/[*?[]/);
  return at < 0 ? { prefix: text, match: "" } : { prefix: text.slice(0, at), match: text.slice(at) };
}

/** Return a test of keys that begin with the prefix: whether the rest fits the pattern. */
export function matcher(prefix, match) {
  if (!match) return () => true;
  const pattern = new RegExp(`^${expressionOf(match)}$`, "su");
  return (key) => pattern.test(key.slice(prefix.length));
}

function expressionOf(match) {
  return match.replace(/\[([!^]?)(\]?[^\]]*)\]|[\s\S]/gu, (part, not, set) => {
    if (part === "*") return ".*?";
    if (part === "?") return ".";
    if (set !== undefined && set !== "") return `[${not ? "^" : ""}${set.replace(/[\\\]^[]/g, "\\$&")}]`;
    return part.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&").replace(/\\-/g, "-").replace(/\\\//g, "/");
  });
}
