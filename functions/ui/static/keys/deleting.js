// Delete many keys: the count is asked back, and a key that was changed meanwhile is kept.

import { postJson } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { count, counted, visible } from "../core/format.js";
import { confirm, notify, openDialog } from "../shell/dialogs.js";

/** Delete keys as they were listed, in transactions of `most`. Return whether anything was done. */
export async function deleteKeys(infos, most) {
  const shown = h("ul", { class: "sample" }, infos.slice(0, 5).map(({ key }) => h("li", { class: "mono" }, visible(key))), infos.length > 5 && h("li", {}, `and ${count(infos.length - 5)} more`));
  const isSure = await confirm(`Delete ${counted(infos.length, "key")}?`, ["History keeps the values for as long as the store is told to.", shown], { verb: `Delete ${count(infos.length)}`, typed: infos.length > 1 ? infos.length : null });
  if (!isSure) return false;
  const failed = [];
  for (let at = 0; at < infos.length; at += most) {
    const part = infos.slice(at, at + most);
    try {
      await postJson("v1/txn", { if: part.map(({ key, revision }) => ({ key, revision })), then: part.map(({ key }) => ({ op: "delete", key })) });
    } catch (error) {
      failed.push({ error, part });
    }
  }
  const kept = failed.reduce((sum, { part }) => sum + part.length, 0);
  if (kept < infos.length) notify(`Deleted ${counted(infos.length - kept, "key")}`);
  if (failed.length) tellFailed(failed, kept);
  return true;
}

function tellFailed(failed, kept) {
  const list = h("div", { class: "stack" });
  fill(list, h("p", {}, `${counted(kept, "key")} ${kept === 1 ? "was" : "were"} not deleted.`), failed.map(({ error, part }) => [
    h("p", { class: "problem" }, error.message),
    error.problem.failed && h("ul", { class: "sample" }, error.problem.failed.slice(0, 5).map(({ key }) => h("li", { class: "mono" }, visible(key ?? part[0].key)))),
  ]));
  openDialog("Not deleted", () => list);
}
