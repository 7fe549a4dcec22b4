// Load the sample data, over the public API; `rundlet demo` commits the same file.

import { postJson } from "../core/api.js";

/** Commit all samples, step by step; `onStep(done, all)` is told each. Return the key that explains them. */
export async function loadSamples(onStep) {
  const { steps, marker } = await (await fetch(new URL("samples.json", import.meta.url))).json();
  for (const [number, { txn }] of steps.entries()) {
    onStep(number, steps.length);
    await postJson("v1/txn", txn);
  }
  return marker;
}
