// The metrics of the server: its text format, and what differs between two readings.

/** Requests of the dashboard itself: charts leave them out. */
const OWN_ROUTES = /^(?:\/metrics|\/v1\/stats|\/readyz|\/livez|\/v1|\/|\/openapi\.json|\/ui.*)$/;

const GROUPS = [
  ["reads", (route, method) => /^\/v1\/kv/.test(route) && method === "GET"],
  ["reads", (route) => route === "/v1/mget"],
  ["writes", (route, method) => /^\/v1\/kv/.test(route) && (method === "PUT" || method === "DELETE")],
  ["writes", (route) => /^\/v1\/(?:txn|import|rollback)$/.test(route)],
  ["lists", (route) => /^\/v1\/(?:keys|history|history64|diff|export)/.test(route)],
];

/** Return `Map` of a name to `[{labels, value}]`. */
export function parseMetrics(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    if (!metrics.has(found[1])) metrics.set(found[1], []);
    metrics.get(found[1]).push({ labels, value: Number(found[3]) });
  }
  return metrics;
}

/** Return the value of a metric without labels; undefined if there is none. */
export function single(metrics, name) {
  return metrics.get(`rundlet_${name}`)?.[0]?.value;
}

/** Return the sum of a metric over all that have these labels; 0 if there is none. */
export function counted(metrics, name, wanted = {}) {
  const fits = ({ labels }) => Object.entries(wanted).every(([label, value]) => labels[label] === value);
  return (metrics.get(`rundlet_${name}`) ?? []).filter(fits).reduce((sum, { value }) => sum + value, 0);
}

/** Return what a chart needs of one reading: requests by group, and the buckets of their durations. */
export function reading(metrics, time) {
  const requests = { reads: 0, writes: 0, lists: 0, others: 0 };
  for (const { labels, value } of metrics.get("rundlet_http_requests_total") ?? []) {
    if (!OWN_ROUTES.test(labels.route)) requests[groupOf(labels)] += value;
  }
  const buckets = new Map();
  for (const { labels, value } of metrics.get("rundlet_http_request_duration_seconds_bucket") ?? []) {
    // A feed lasts as long as its reader wants: it has no duration.
    if (OWN_ROUTES.test(labels.route) || labels.route === "/v1/changes") continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return { time, requests, buckets };
}

function groupOf({ route, method }) {
  return GROUPS.find(([, has]) => has(route, method))?.[0] ?? "others";
}

/** Return requests per second by group, and p50 and p99 in seconds (null without requests), between two readings. */
export function between(before, after) {
  const seconds = (after.time - before.time) / 1000;
  const rates = Object.fromEntries(Object.entries(after.requests).map(([group, value]) => [group, Math.max(0, value - before.requests[group]) / seconds]));
  const counts = [...after.buckets].sort(([a], [b]) => a - b).map(([bound, value]) => [bound, value - (before.buckets.get(bound) ?? 0)]);
  return { rates, p50: quantile(counts, 0.5), p99: quantile(counts, 0.99) };
}

/** The quantile of cumulative counts by upper bound, taken as evenly spread within a bucket. */
export function quantile(counts, share) {
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  let [low, below] = [0, 0];
  for (const [bound, value] of counts) {
    if (value >= total * share) {
      if (bound === Infinity) return low;
      return low + ((bound - low) * (total * share - below)) / (value - below || 1);
    }
    [low, below] = [bound, value];
  }
  return low;
}
