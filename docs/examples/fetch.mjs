// Rundlet with fetch alone, in Node.js 18 or newer: node fetch.mjs
//
// Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names. A browser runs the same
// functions; page.html shows them there, with EventSource for the feed.
import assert from "node:assert/strict";

const SERVER = process.env.RUNDLET_URL ?? "http://127.0.0.1:8000";
const TEXT = { "Content-Type": "text/plain; charset=utf-8" };

/** The address of a key: its parts are percent-encoded, its slashes stay. */
function address(key) {
  return `${SERVER}/v1/kv/${key.split("/").map(encodeURIComponent).join("/")}`;
}

async function send(url, options) {
  const answer = await fetch(url, options);
  if (answer.ok || answer.status === 404 || answer.status === 412) return answer;
  const problem = await answer.json(); // every error says what is wrong, and what to do
  throw new Error(`${problem.status} ${problem.title}: ${problem.detail}`);
}

/** Return the text and its ETag, or null if the key has no value. */
async function get(key) {
  const answer = await send(address(key));
  if (answer.status === 404) return null;
  return { text: await answer.text(), etag: answer.headers.get("ETag") };
}

/** Store a text; `headers` may have a condition. Return whether the condition held. */
async function set(key, text, headers = {}) {
  const answer = await send(address(key), { method: "PUT", headers: { ...TEXT, ...headers }, body: text });
  return answer.status !== 412;
}

/** Change a text, and never overwrite a change that came in between. */
async function change(key, edit) {
  for (;;) {
    const old = await get(key);
    const condition = old === null ? { "If-None-Match": "*" } : { "If-Match": old.etag };
    if (await set(key, edit(old?.text ?? ""), condition)) return;
  }
}

/** Yield the changes of a prefix, one line of JSON each; give `since` to resume where you stopped. */
async function* changes(prefix, since, signal) {
  const url = `${SERVER}/v1/changes?prefix=${encodeURIComponent(prefix)}&since=${since}`;
  const answer = await send(url, { headers: { Accept: "application/x-ndjson" }, signal });
  let rest = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      if (event.op) yield event; // a line without an operation is the position of the feed
    }
  }
}

await set("fetch/wood", "oak");
assert.equal((await get("fetch/wood")).text, "oak");
assert.equal(await get("fetch/missing"), null);
assert.equal(await set("fetch/wood", "elm", { "If-None-Match": "*" }), false);
await change("fetch/wood", (text) => `${text} and ash`);

const stop = new AbortController();
for await (const event of changes("fetch/", 0, stop.signal)) {
  console.log(event.revision, event.op, event.key);
  if (event.version === 2) break; // without this, the feed goes on
}
stop.abort();
console.log("done");
