// A small chart of lines over the last minutes, as SVG.

import { fill, h } from "../core/dom.js";

const POINTS_MAX = 150;
const POINTS_LEAST = 30;
const WIDTH = 600;
const HEIGHT = 120;
const SPACE = "http://www.w3.org/2000/svg";

/** Shows lines that grow to the right. `lines` are `[name, class]`; `show(value)` makes a text of a value. */
export class LineChart {
  constructor(title, lines, show) {
    this.lines = lines;
    this.show = show;
    this.points = [];
    this.paths = lines.map(([, kind]) => svg("path", { class: `line line-${kind}` }));
    this.top = h("span", { class: "chart-top" });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart", role: "img" });
    this.picture.append(svg("path", { class: "grid", d: `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }), ...this.paths);
    this.legend = h("ul", { class: "legend" });
    this.title = title;
    this.element = h("section", { class: "card" }, h("header", { class: "card-head" }, h("h3", {}, title), this.legend), h("div", { class: "chart-frame" }, this.top, this.picture));
    this.draw();
  }

  /** Add a point: a value for each line, null where there is none. */
  add(values) {
    this.points.push(values);
    if (this.points.length > POINTS_MAX) this.points.shift();
    this.draw();
  }

  draw() {
    const most = niceTop(Math.max(0, ...this.points.flat().filter((value) => value !== null)));
    fill(this.top, this.show(most));
    this.paths.forEach((path, line) => path.setAttribute("d", this.lineOf(line, most)));
    const last = this.points.at(-1) ?? [];
    const texts = this.lines.map(([name], line) => `${name} ${last[line] === undefined || last[line] === null ? "–" : this.show(last[line])}`);
    fill(this.legend, texts.map((text, line) => h("li", { class: `key-${this.lines[line][1]}` }, text)));
    this.picture.setAttribute("aria-label", `${this.title}: ${texts.join(", ")}`);
  }

  lineOf(line, most) {
    let path = "";
    let isDown = false;
    const shown = Math.max(POINTS_LEAST, this.points.length);
    const start = shown - this.points.length;
    this.points.forEach((values, at) => {
      const value = values[line];
      if (value !== null) path += `${isDown ? "L" : "M"}${(((start + at) / (shown - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 2 - (value / most) * (HEIGHT - 4)).toFixed(1)}`;
      isDown = value !== null;
    });
    return path;
  }
}

/** The next of 1, 2, 5 times a power of ten. */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

function svg(tag, attributes) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
