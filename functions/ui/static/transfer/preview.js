// What a file holds, before it is imported: the first rows, and the bad lines by number.

import { isText } from "../value/loading.js";

const ROWS_SHOWN = 8;
const BAD_SHOWN = 50;
const CHECKED_BYTES = 64 * 1024 * 1024;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Return the format that the name and the first bytes of a file suggest: jsonl, csv, cbor-seq or text. */
export function formatOf(name, head) {
  const ending = /\.(\w+)(?:\.gz)?$/.exec(name.toLowerCase())?.[1];
  const known = { jsonl: "jsonl", ndjson: "jsonl", json: "jsonl", csv: "csv", cbor: "cbor-seq", data: "text", txt: "text" }[ending];
  if (known) return known;
  if (!isText(head)) return "cbor-seq";
  const text = new TextDecoder().decode(head).trimStart();
  return text.startsWith("{") ? "jsonl" : text.startsWith("key,") ? "csv" : "text";
}

/** Read a file line by line; return `{lines, rows, bad, isWhole}`. `rows` are the first, `bad` are `{line, reason}`.
 *
 * The server decides; this finds what is wrong before anything is sent. */
export async function preview(file, format, { anyKey, signal, onProgress }) {
  const checks = { jsonl: checkJson, text: (line) => checkText(line, anyKey), csv: checkCsv };
  const check = checks[format];
  const found = { lines: 0, rows: [], bad: [], badCount: 0, isWhole: file.size <= CHECKED_BYTES };
  if (!check || /\.gz$/i.test(file.name)) return null;
  for await (const line of linesOf(file.slice(0, CHECKED_BYTES), format, signal, onProgress)) {
    found.lines += 1;
    if (line.trim() === "" || (format === "csv" && found.lines === 1)) continue;
    const outcome = check(line);
    if (outcome.reason) {
      found.badCount += 1;
      if (found.bad.length < BAD_SHOWN) found.bad.push({ line: found.lines, reason: outcome.reason });
    } else if (found.rows.length < ROWS_SHOWN) found.rows.push(outcome);
  }
  return found;
}

/** The lines of a file; in CSV a line break within quotes belongs to the row. */
async function* linesOf(file, format, signal, onProgress) {
  const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let done = 0;
  for (;;) {
    signal.throwIfAborted();
    const { done: isEnd, value } = await reader.read();
    if (isEnd) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    let row = "";
    for (const part of parts) {
      row = row ? `${row}\n${part}` : part;
      if (format === "csv" && (row.split('"').length - 1) % 2) continue;
      yield row.replace(/\r$/, "");
      row = "";
    }
    if (row) rest = `${row}\n${rest}`;
    done += value.length;
    onProgress(Math.min(1, done / file.size));
  }
  if (rest) yield rest.replace(/\r$/, "");
}

function checkJson(line) {
  let row;
  try {
    row = JSON.parse(line);
  } catch (error) {
    return { reason: error.message };
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) return { reason: "is no object" };
  if (typeof row.key !== "string" || !row.key) return { reason: "has no key" };
  if (typeof row.text !== "string" && typeof row.base64 !== "string") return { reason: "has neither text nor base64" };
  return { key: row.key, type: row.content_type ?? "", value: row.text ?? `base64 ${row.base64}` };
}

function checkText(line, anyKey) {
  const space = line.indexOf(" ");
  const key = space < 0 ? line : line.slice(0, space);
  if (space < 0) return { reason: "has no space between key and value" };
  if (!anyKey && !UUID.test(key)) return { reason: "does not begin with a UUID" };
  if (!key) return { reason: "has no key" };
  return { key, type: "", value: line.slice(space + 1) };
}

function checkCsv(line) {
  const cells = [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))(?=,|$)/gs)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
  if (cells.length !== 5) return { reason: `has ${cells.length} columns instead of 5` };
  if (!cells[0]) return { reason: "has no key" };
  return { key: cells[0], type: cells[1], value: cells[4] };
}
