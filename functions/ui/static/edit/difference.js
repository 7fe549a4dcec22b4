// What differs between two texts: by line, and within changed lines by word.

const CELLS_MAX = 4_000_000;

/** Return `[{op: "same" | "removed" | "added", text, words}]`; `words` are of a line that was changed, as `[{op, text}]`. */
export function lineDifference(before, after) {
  const steps = difference(before.split("\n"), after.split("\n"));
  return pairLines(steps);
}

/** Return `[{op, text}]` over the words and blanks of two lines. */
export function wordDifference(before, after) {
  return difference(before.split(/(\s+|[^\w\s])/).filter(Boolean), after.split(/(\s+|[^\w\s])/).filter(Boolean));
}

/** The shortest way from one list to the other; where it would take too long, all of one and all of the other. */
function difference(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const same = (texts) => texts.map((text) => ({ op: "same", text }));
  const left = before.slice(start, before.length - end);
  const right = after.slice(start, after.length - end);
  return [...same(before.slice(0, start)), ...middle(left, right), ...same(before.slice(before.length - end))];
}

function middle(left, right) {
  const removed = left.map((text) => ({ op: "removed", text }));
  const added = right.map((text) => ({ op: "added", text }));
  if (!left.length || !right.length || left.length * right.length > CELLS_MAX) return [...removed, ...added];
  const width = right.length + 1;
  const common = new Uint32Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = left[i] === right[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const steps = [];
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) steps.push({ op: "same", text: left[(j += 1), i++] });
    else if (j >= right.length || (i < left.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) steps.push(removed[i++]);
    else steps.push(added[j++]);
  }
  return steps;
}

/** Give removed and added lines that stand for one another their words. */
function pairLines(steps) {
  const lines = steps.map((step) => ({ ...step }));
  for (let at = 0; at < lines.length; at += 1) {
    if (lines[at].op !== "removed") continue;
    let removed = at;
    while (lines[removed]?.op === "removed") removed += 1;
    let added = removed;
    while (lines[added]?.op === "added") added += 1;
    for (let pair = 0; pair < Math.min(removed - at, added - removed); pair += 1) {
      const words = wordDifference(lines[at + pair].text, lines[removed + pair].text);
      if (!words.some(({ op, text }) => op === "same" && /\w/.test(text))) continue;
      lines[at + pair].words = words.filter(({ op }) => op !== "added");
      lines[removed + pair].words = words.filter(({ op }) => op !== "removed");
    }
    at = added - 1;
  }
  return lines;
}
