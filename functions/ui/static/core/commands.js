// What is on the screen as a command: for curl, rundlet, Python and JavaScript.
//
// A command names the token by a variable and never holds it: it ends up in shell histories.

import { BASE, keyPath, queryText } from "./api.js";
import { token } from "./session.js";

const URL_TEXT = BASE.href.replace(/\/$/, "");

/** Each act returns the request (`path`, `query`, `method`, `headers`, `body`), `rundlet` as command, arguments and options, and Python. */
const ACTS = {
  list: ({ prefix, reverse, match, start, rev, at }) => ({
    path: "v1/keys",
    query: { prefix, match, start, reverse: reverse && "true", rev, at },
    cli: ["ls", [prefix || undefined], [match && `--match=${match}`, start && `--start=${start}`, reverse && "--reverse", ...moment({ rev, at })]],
    python: `for info in client.scan(${named({ prefix, match, start, reverse: reverse && true, revision: number(rev), at })}):\n    print(info.key, info.size)`,
  }),
  get: ({ key, rev, at }) => ({
    path: keyPath("kv", key),
    query: { rev, at },
    cli: ["get", [key], moment({ rev, at })],
    python: `value = client.get(${python(key)}${rest({ revision: number(rev), at })})`,
  }),
  put: ({ key, text, type, ttl, etag, isNew }) => ({
    method: "PUT",
    path: keyPath("kv", key),
    query: { ttl },
    headers: { ...(type && { "Content-Type": type }), ...(etag && { "If-Match": etag }), ...(isNew && { "If-None-Match": "*" }) },
    body: text,
    cli: [
      "set",
      [key, text],
      [ttl && `--ttl=${ttl}s`, type && `--type=${type}`, isNew ? "--if-absent" : etag && `--if-revision=${etag.slice(1).split("-")[0]}`],
    ],
    python: `client.set(${python(key)}, ${python(text)}${rest({ ttl: number(ttl), content_type: type, if_match: etag, if_absent: isNew && true })})`,
  }),
  remove: ({ key, etag }) => ({
    method: "DELETE",
    path: keyPath("kv", key),
    headers: etag ? { "If-Match": etag } : {},
    cli: ["del", [key]],
    python: `client.delete(${python(key)}${rest({ if_match: etag })})`,
  }),
  history: ({ key }) => ({
    path: keyPath("history", key),
    cli: ["history", [key]],
    python: `for version in client.history(${python(key)}):\n    print(version.revision, version.op)`,
  }),
  changes: ({ prefix, since }) => ({
    path: "v1/changes",
    query: { prefix, since },
    headers: { Accept: "application/x-ndjson" },
    cli: ["watch", [prefix || undefined], [since && `--since=${since}`]],
    python: `for event in client.watch(${named({ prefix, since: number(since) })}):\n    print(event.op, event.key)`,
  }),
  txn: ({ body }) => ({
    method: "POST",
    path: "v1/txn",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }),
  restore: ({ key, revision }) => ({
    ...ACTS.txn({ body: { then: [{ op: "restore", key, revision }] } }),
    python: `from rundlet import Restore\nclient.txn([Restore(${python(key)}, revision=${revision})])`,
  }),
  stats: () => ({ path: "v1/stats", cli: ["stats", []], python: "print(client.stats())" }),
  export: ({ prefix, format, rev, at }) => ({
    path: "v1/export",
    query: { prefix, format, rev, at },
    cli: ["export", [], [prefix && `--prefix=${prefix}`, format && `--format=${format}`, ...moment({ rev, at })]],
    python: `for row in client.export(${named({ prefix, revision: number(rev), at })}):\n    print(row.key)`,
  }),
  import: ({ format, conflict, file }) => ({
    method: "POST",
    path: "v1/import",
    query: { format, on_conflict: conflict },
    file,
    cli: ["import", [file], [conflict && conflict !== "replace" && `--on-conflict=${conflict}`]],
  }),
  tokens: () => ({ path: "v1/tokens" }),
  createToken: (body) => ({
    method: "POST",
    path: "v1/tokens",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }),
};

/** Return the commands of an act by language; a language that cannot say it is left out. */
export function commandsOf({ act, ...options }) {
  const request = ACTS[act](options);
  const url = BASE.href + request.path + queryText(request.query ?? {});
  return Object.fromEntries(
    Object.entries({
      curl: request.path && curl(url, request),
      rundlet: request.cli && cli(request.cli),
      Python: request.python && pythonProgram(request.python),
      JavaScript: request.path && javascript(url, request),
    }).filter(([, text]) => text),
  );
}

function curl(url, { method = "GET", headers = {}, body, file }) {
  const parts = ["curl"];
  if (method !== "GET" && !(method === "POST" && (body !== undefined || file))) parts.push("-X", method);
  if (token()) parts.push("-H", '"Authorization: Bearer $RUNDLET_TOKEN"');
  for (const [name, value] of Object.entries(headers)) parts.push("-H", shell(`${name}: ${value}`));
  if (body !== undefined) parts.push("--data-binary", shell(body));
  if (file) parts.push("--data-binary", shell(`@${file}`));
  return [...parts, shell(url)].join(" ");
}

/** Options stand before `--`, which ends them where an argument begins with a dash. */
function cli([command, given, options = []]) {
  const words = given.filter((word) => word !== undefined);
  const ended = words.some((word) => word.startsWith("-")) ? ["--"] : [];
  return ["rundlet", command, ...["--url", URL_TEXT, ...options.filter(Boolean), ...ended, ...words].map(shell)].join(" ");
}

function pythonProgram(lines) {
  const imports = ["Client"];
  const own = lines.split("\n").filter((line) => {
    const found = /^from rundlet import (\w+)$/.exec(line);
    if (found) imports.push(found[1]);
    return !found;
  });
  const access = token() ? `, token=os.environ["RUNDLET_TOKEN"]` : "";
  const head = `${token() ? "import os\n\n" : ""}from rundlet import ${imports.join(", ")}\n\n`;
  return `${head}with Client(${python(URL_TEXT)}${access}) as client:\n${own.map((line) => `    ${line}`).join("\n")}`;
}

function javascript(url, { method = "GET", headers = {}, body, file }) {
  const options = {
    ...(method !== "GET" && { method: JSON.stringify(method) }),
    ...((token() || Object.keys(headers).length) && { headers: headerLiteral(headers) }),
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(file && { body: "file" }),
  };
  const entries = Object.entries(options).map(([name, value]) => `  ${name}: ${value},\n`);
  return `const answer = await fetch(${JSON.stringify(url)}${entries.length ? `, {\n${entries.join("")}}` : ""});`;
}

function headerLiteral(headers) {
  const lines = Object.entries(headers).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  if (token()) lines.unshift("Authorization: `Bearer ${token}`");
  return `{ ${lines.join(", ")} }`;
}

/** Quote a word for a POSIX shell; control characters need bash's form. */
function shell(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (!/[\u0000-\u001f\u007f]/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const escapes = { "\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const text = [...word].map((c) => escapes[c] ?? (c < " " || c === "\x7f" ? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}` : c));
  return `$'${text.join("")}'`;
}

// JSON's strings are Python's, once a surrogate pair is one character again, as in the text itself.
function python(value) {
  if (value === true) return "True";
  return JSON.stringify(value);
}

function named(options) {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
    .map(([name, value]) => `${name}=${python(value)}`)
    .join(", ");
}

function rest(options) {
  const text = named(options);
  return text && `, ${text}`;
}

function number(value) {
  return value === undefined || value === null || value === "" ? undefined : Number(value);
}

function moment({ rev, at }) {
  return [rev && `--rev=${rev}`, at && `--at=${at}`];
}
