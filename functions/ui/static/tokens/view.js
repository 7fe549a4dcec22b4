// The view of tokens: who may use the server, and for what.

import { getJson, isAbort, send } from "../core/api.js";
import { button, fill, h, icon } from "../core/dom.js";
import { ago, moment, visible, visibleText } from "../core/format.js";
import { isWritable } from "../core/server.js";
import { copyMenu } from "../shell/copying.js";
import { confirm, emptiness, failure, notify, showLoading } from "../shell/dialogs.js";
import { createToken } from "./creating.js";

class TokensView extends HTMLElement {
  connectedCallback() {
    this.className = "view tokens-view";
    this.banner = h("div", {});
    this.body = h("div", { class: "tokens-body" });
    this.create = button([icon("plus"), h("span", {}, "New token")], () => this.make(), { class: "primary", hidden: true });
    fill(this, h("header", { class: "bar-row" }, h("h1", { class: "view-title" }, "Tokens"), h("span", { class: "spring" }), copyMenu(() => ({ act: "tokens" })), this.create), this.banner, this.body);
  }

  show() {
    showLoading(this.body, 4);
    this.load();
  }

  async load() {
    try {
      this.tokens = (await getJson("v1/tokens")).tokens;
    } catch (error) {
      if (isAbort(error)) return;
      this.create.hidden = true;
      fill(this.banner);
      fill(this.body, error.status === 501 ? emptiness("No tokens here", error.message) : failure(error, () => this.load()));
      return;
    }
    this.create.hidden = !isWritable();
    this.draw();
  }

  draw() {
    const { tokens } = this;
    fill(this.banner, !tokens.length && h("div", { class: "banner warn wide-banner" }, h("strong", {}, "There is no authentication. "), "Every program that reaches this server may read and change everything. Creating the first token turns authentication on."));
    if (!tokens.length) {
      fill(this.body, emptiness("No tokens", "A token has a scope, and may be limited to a prefix of the keys and to a time.", isWritable() && button("New token", () => this.make(), { class: "primary" })));
      return;
    }
    const head = h("thead", {}, h("tr", {}, ["Name", "Scope", "Keys", "Created", "Expires", ""].map((name) => h("th", { scope: "col" }, name))));
    fill(this.body, h("table", { class: "versions token-table" }, h("caption", { class: "offscreen" }, "Tokens"), head, h("tbody", {}, tokens.map((token) => this.rowOf(token)))));
  }

  rowOf({ id, name, scope, prefix, created, expires }) {
    const isExpired = expires && new Date(expires) <= Date.now();
    return h(
      "tr",
      { class: isExpired ? "is-expired" : null },
      h("td", {}, h("div", {}, visible(name)), h("div", { class: "hint mono" }, id)),
      h("td", {}, h("span", { class: `op scope-${scope}` }, scope)),
      h("td", { class: "mono" }, prefix ? [h("bdi", {}, visible(prefix)), "…"] : h("span", { class: "muted" }, "all")),
      h("td", { title: moment(created) }, ago(created)),
      h("td", { title: expires ? moment(expires) : null }, expires ? (isExpired ? "expired" : ago(expires)) : "never"),
      h("td", {}, isWritable() && button("Revoke", () => this.revoke({ id, name }), { class: "quiet", "aria-label": `Revoke ${visibleText(name)}` })),
    );
  }

  async make() {
    if (await createToken({ isFirst: this.tokens.length === 0 })) await this.load();
  }

  async revoke({ id, name }) {
    const isLast = this.tokens.length === 1;
    const text = ["The server refuses it from then on.", isLast && h("p", { class: "problem" }, "It is the last token: authentication is off after that.")].filter(Boolean);
    if (!(await confirm(`Revoke ${visibleText(name)}?`, text, { verb: "Revoke" }))) return;
    try {
      await send(`v1/tokens/${id}`, { method: "DELETE" });
      notify("Revoked");
    } catch (error) {
      notify(error.message, { isError: true });
    }
    await this.load();
  }
}

customElements.define("rundlet-tokens", TokensView);
