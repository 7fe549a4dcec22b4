// Keys of the keyboard: a view offers its own; the shell has those that work everywhere.

const offered = [];

/** Offer keys: `[{key: "j", text: "Next key", run}]`. Return what withdraws them. */
export function offerKeys(bindings) {
  offered.unshift(bindings);
  return () => offered.splice(offered.indexOf(bindings), 1);
}

/** Return all keys that work now, those of the view first. */
export function offeredKeys() {
  return offered.flat();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select, [contenteditable]") && event.key !== "Escape") return;
  const binding = offeredKeys().find(({ key }) => key === event.key);
  if (!binding || binding.run(event) === false) return;
  event.preventDefault();
});
