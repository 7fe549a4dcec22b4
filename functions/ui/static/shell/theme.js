// The theme that was chosen, before the first paint: a plain script, because modules run after it. See core/session.js.

{
  const { dataset } = document.documentElement;
  const chosen = localStorage.getItem(dataset.themeKey);
  if (chosen && chosen !== "auto") dataset.theme = chosen;
}
