// Rundlet from JavaScript (Node 18 or newer, Deno, Bun, browsers), with fetch and nothing else.
// Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names.

const base = globalThis.process?.env.RUNDLET_URL ?? "http://127.0.0.1:8000";

// Keys with a segment "." or ".." need /v1/kv64/ and base64url instead.
const pathOf = (key) => "/v1/kv/" + key.split("/").map(encodeURIComponent).join("/");

/** Sends a request. A write is sent once: if no answer comes, it may have been done. */
async function ask(method, target, { allowed = [], ...options } = {}) {
  const response = await fetch(base + target, { method, ...options });
  if (response.ok || allowed.includes(response.status)) return response;
  throw new Error((await response.json()).detail);
}

/** Changes a JSON value; repeats the change until no other client wrote in between. */
async function update(key, change) {
  for (;;) {
    const found = await ask("GET", pathOf(key), { allowed: [404] });
    const isNew = found.status === 404;
    const value = change(isNew ? undefined : await found.json());
    const stored = await ask("PUT", pathOf(key), {
      allowed: [412],
      headers: {
        "Content-Type": "application/json",
        ...(isNew ? { "If-None-Match": "*" } : { "If-Match": found.headers.get("ETag") }),
      },
      body: JSON.stringify(value),
    });
    if (stored.ok) return value;
  }
}

/** Yields the keys with a prefix, page by page, all of one snapshot. */
async function* keysWith(prefix) {
  let target = `/v1/keys?${new URLSearchParams({ prefix })}`;
  while (target) {
    const page = await (await ask("GET", target)).json();
    yield* page.keys.map((info) => info.key);
    target = page.next;
  }
}

/** Yields the changes after a revision; a long-running program must reconnect. */
async function* changes(prefix, since, signal) {
  const target = `/v1/changes?${new URLSearchParams({ prefix, since })}`;
  const headers = { Accept: "application/x-ndjson" };
  const response = await ask("GET", target, { headers, signal });
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    yield* lines.map((line) => JSON.parse(line)).filter((event) => "key" in event);
  }
}

await ask("PUT", pathOf("js/größe"), { headers: { "Content-Type": "text/plain" }, body: "12" });
console.log(await (await ask("GET", pathOf("js/größe"))).text());

// Ten updates at once: none is lost.
const add = (value = { visits: 0 }) => ({ visits: value.visits + 1 });
await Promise.all(Array.from({ length: 10 }, () => update("js/counter", add)));
const { visits } = await (await ask("GET", pathOf("js/counter"))).json();
if (visits !== 10) throw new Error(`${visits} visits`);

// Many writes, all or none; then the changes since, and a list.
const { revision } = await (await ask("GET", "/v1")).json();
await ask("POST", "/v1/txn", {
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    if: [{ key: "js/order", exists: false }],
    then: [
      { op: "put", key: "js/order", text: "oak" },
      { op: "add", key: "js/sold", by: 1 },
    ],
  }),
});
const stop = new AbortController();
for await (const event of changes("js/", revision, stop.signal)) {
  console.log(event.op, event.key);
  if (event.last) break;
}
stop.abort();
const keys = [];
for await (const key of keysWith("js/")) keys.push(key);
if (keys.join() !== "js/counter,js/größe,js/order,js/sold") throw new Error(keys.join());
console.log("done");
