// The API over fetch: addresses, the token, and problems as errors.

import { token } from "./session.js";

/** Where the server is; the dashboard may be served below a path of a proxy. */
export const BASE = new URL("../", document.baseURI);

/** An answer that is not a success, or no answer (`status` 0). The message is the API's `detail`. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `The server answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }

  /** The last part of the problem's type, as `not-found`. */
  get kind() {
    return (this.problem.type ?? "").replace("/problems/", "");
  }
}

/** Return whether an error only says that the request is no longer wanted. */
export function isAbort(error) {
  return error.name === "AbortError";
}

/** Return the path of a key on a route of keys: `kv` or `history`. */
export function keyPath(route, key) {
  return isPlain(key) ? `v1/${route}/${key.split("/").map(encodeURIComponent).join("/")}` : `v1/${route}64/${base64url(key)}`;
}

/** Return whether no client and no proxy rewrites the path of a key on its way. */
function isPlain(key) {
  return !/[\u0000-\u001f\u007f\\]/.test(key) && key.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

function base64url(text) {
  return base64(new TextEncoder().encode(text)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Return bytes as base64. */
export function base64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 32768) binary += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(binary);
}

/** Return a query; options without a value (undefined, null, empty, false) are left out. */
export function queryText(options) {
  const parts = Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return parts.length ? `?${parts.join("&")}` : "";
}

const listeners = new Set();

/** Call a listener with every outcome: `{ok}` and, where it failed, `error`. Return what removes it. */
export function onOutcome(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(outcome) {
  for (const listener of listeners) listener(outcome);
}

/** Send a request and return its answer, whose status is below 400. Throws ApiError, AbortError. */
export async function send(path, { method = "GET", query = {}, headers = {}, body, signal } = {}) {
  const all = { ...headers };
  const secret = token();
  if (secret) all.Authorization = `Bearer ${secret}`;
  let response;
  try {
    response = await fetch(new URL(path + queryText(query), BASE), { method, headers: all, body, signal, cache: "no-store" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw failed(new ApiError(0, { detail: "The server does not answer. Check that it runs, and that this machine reaches it." }));
  }
  if (response.status < 400) {
    tell({ ok: true, response });
    return response;
  }
  const problem = await problemOf(response);
  // The answer names a header, which is no help to a person in front of a form.
  if (response.status === 401 && !secret) problem.detail = "This server needs a token. Enter one to go on.";
  const error = new ApiError(response.status, problem);
  // An answer to HEAD has no body that says why; the GET beside it has. One to a request with an
  // earlier token says nothing of the token of now.
  throw method === "HEAD" || secret !== token() ? error : failed(error);
}

function failed(error) {
  tell({ ok: false, error });
  return error;
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

/** Send a request and return its body as JSON. */
export async function getJson(path, query = {}, signal = undefined) {
  return (await send(path, { query, signal, headers: { Accept: "application/json" } })).json();
}

/** Send a body of JSON and return the answer's. */
export async function postJson(path, body, options = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  return (await send(path, { method: "POST", headers, body: JSON.stringify(body), ...options })).json();
}
