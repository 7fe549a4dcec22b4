// What is known of a value beside its bytes, with the time that it has left.

import { fill, h } from "../core/dom.js";
import { ago, count, duration, moment, size, visible } from "../core/format.js";

/** Return a list of the facts; it counts the time to live down as long as it is on the page. */
export function factsOf(value) {
  const left = h("span", { class: "number" });
  const rows = [
    ["Size", h("span", { title: `${count(value.size)} bytes` }, size(value.size))],
    ["Type", h("span", { class: "mono" }, value.type)],
    ["Revision", count(value.revision)],
    ["Version", count(value.version)],
    ["Modified", h("time", { datetime: new Date(value.modified).toISOString(), title: moment(value.modified) }, ago(value.modified))],
    value.expires && ["Expires", left],
    ...value.meta.map(([name, text]) => [name, h("bdi", { class: "mono" }, visible(decodeURIComponent(text)))]),
  ].filter(Boolean);
  if (value.expires) countDown(left, value.expires);
  return h("dl", { class: "facts" }, rows.map(([name, content]) => h("div", {}, h("dt", {}, name), h("dd", {}, content))));
}

function countDown(place, expires) {
  const draw = () => {
    const seconds = (new Date(expires) - Date.now()) / 1000;
    fill(place, seconds > 0 ? `in ${duration(seconds)}` : "expired");
    place.title = moment(expires);
    return seconds > 0;
  };
  if (!draw()) return;
  const timer = setInterval(() => (!place.isConnected || !draw()) && clearInterval(timer), 1000);
}
