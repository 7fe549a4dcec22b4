// Delete many keys: the count is asked back. A selected key that was changed meanwhile is kept.

import { postJson, send } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { count, counted, visible } from "../core/format.js";
import { confirm, notify, openDialog } from "../shell/dialogs.js";
import { countKeys } from "./listing.js";

/** Delete keys as they were listed, in transactions of `most`. Return whether anything was done. */
export async function deleteKeys(infos, most) {
  const shown = h("ul", { class: "sample" }, infos.slice(0, 5).map(({ key }) => h("li", { class: "mono" }, visible(key))), infos.length > 5 && h("li", {}, `and ${count(infos.length - 5)} more`));
  const isSure = await confirm(`Delete ${counted(infos.length, "key")}?`, ["History keeps the values for as long as the store is told to.", shown], { verb: `Delete ${count(infos.length)}`, typed: infos.length > 1 ? infos.length : null });
  if (!isSure) return false;
  const failed = [];
  await withProgress("Deleting", async (tell, signal) => {
    for (let at = 0; at < infos.length && !signal.aborted; at += most) {
      const part = infos.slice(at, at + most);
      tell(at / infos.length, `${count(at)} of ${count(infos.length)}`);
      try {
        await postJson("v1/txn", { if: part.map(({ key, revision }) => ({ key, revision })), then: part.map(({ key }) => ({ op: "delete", key })) });
      } catch (error) {
        failed.push(...(await oneByOne(part, error)));
      }
    }
  });
  if (failed.length < infos.length) notify(`Deleted ${counted(infos.length - failed.length, "key")}`);
  if (failed.length) tellFailed(failed);
  return true;
}

/** Delete all keys of a prefix and pattern, if there are as many as the user has confirmed. Return whether anything was done. */
export async function deletePrefix(selection, most) {
  try {
    return await deleteCounted(selection, await countKeys(selection), most);
  } catch (error) {
    notify(error.message, { isError: true });
    return error.problem?.deleted > 0;
  }
}

async function deleteCounted({ prefix, match }, first, most) {
  let number = first;
  while (number) {
    const text = [
      number !== first && h("p", { class: "problem", role: "alert" }, `Nothing was deleted: there are ${count(number)} keys now, and there were ${count(first)}.`),
      h("p", { class: "mono" }, visible(prefix + (match ?? ""))),
      number > most ? `More than a transaction holds (${count(most)}): they are deleted in parts, with the values that they have by then.` : "All of them or none.",
      "History keeps the values for as long as the store is told to.",
    ].filter(Boolean);
    if (!(await confirm(`Delete ${counted(number, "key")}?`, text, { verb: `Delete ${count(number)}`, typed: number }))) return false;
    try {
      await removeAll({ prefix, match, expect: number, atomic: number > most ? "false" : "" });
      return true;
    } catch (error) {
      if (error.status !== 412) throw error;
      number = error.problem.count;
    }
  }
  notify("There is nothing to delete any more");
  return true;
}

async function removeAll(query) {
  await withProgress("Deleting", async (tell, signal) => {
    tell(null, `${counted(query.expect, "key")}…`);
    const timer = setInterval(async () => {
      // A pattern is tested against every key, which is as much work as the deletion.
      const left = query.match ? null : await countKeys(query, signal).catch(() => null);
      if (left !== null) tell(Math.max(0, 1 - left / query.expect), `${count(left)} left`);
    }, 1000);
    try {
      const { deleted } = await (await send("v1/keys", { method: "DELETE", query, headers: { Accept: "application/json" } })).json();
      notify(`Deleted ${counted(deleted, "key")}`);
    } finally {
      clearInterval(timer);
    }
  });
}

/** A transaction failed: if keys in it were changed, delete the others; return what was not deleted and why. */
async function oneByOne(part, error) {
  const changed = new Set((error.problem.failed ?? []).map(({ key }) => key));
  const rest = part.filter(({ key }) => !changed.has(key));
  const failed = part.filter(({ key }) => changed.has(key)).map(({ key }) => ({ key, error }));
  if (!changed.size || !rest.length) return part.map(({ key }) => ({ key, error }));
  try {
    await postJson("v1/txn", { if: rest.map(({ key, revision }) => ({ key, revision })), then: rest.map(({ key }) => ({ op: "delete", key })) });
  } catch (again) {
    failed.push(...rest.map(({ key }) => ({ key, error: again })));
  }
  return failed;
}

/** Show a dialog with a bar while work goes on; closing it aborts the signal. Small work shows none. */
async function withProgress(title, work) {
  const aborting = new AbortController();
  const bar = h("progress", { class: "progress", max: "1", "aria-label": title });
  const words = h("span", { role: "status" });
  let close = () => {};
  const timer = setTimeout(() => {
    openDialog(title, (closing) => ((close = closing), h("div", { class: "sub-row flat" }, bar, words))).then(() => aborting.abort());
  }, 400);
  try {
    await work((share, text) => {
      if (share !== null) bar.value = share;
      fill(words, text);
    }, aborting.signal);
  } finally {
    clearTimeout(timer);
    close();
  }
}

function tellFailed(failed) {
  const kept = failed.length;
  const reasons = [...new Set(failed.map(({ error }) => error.message))];
  const list = h(
    "div",
    { class: "stack" },
    h("p", {}, `${counted(kept, "key")} ${kept === 1 ? "was" : "were"} not deleted.`),
    reasons.map((text) => h("p", { class: "problem" }, text)),
    h("ul", { class: "sample" }, failed.slice(0, 20).map(({ key }) => h("li", { class: "mono" }, visible(key))), kept > 20 && h("li", {}, `and ${count(kept - 20)} more`)),
  );
  openDialog("Not deleted", () => list);
}
