// The panel of faults: the sandbox's time, lost connections, failing calls, and the latest calls of the app.

import { get, h, post } from "./dom.js";

const SWITCHES = [
  ["Time", [
    ["A minute later", "clock", { advance: 60 }],
    ["An hour later", "clock", { advance: 3600 }],
    ["A day later", "clock", { advance: 86400 }],
  ]],
  ["Connection", [
    ["Cut the app's connection", "connections/drop", { manner: "abrupt" }],
    ["Ask the app to reconnect", "connections/drop", { manner: "polite" }],
    ["Deliver the next action twice", "faults/deliveries", { trouble: "twice" }],
    ["Lose the next ack", "faults/deliveries", { trouble: "unheard" }],
  ]],
  ["Next call of the app", [
    ["Answer 503", "faults", { method: "*", outcome: "status", status: 503 }],
    ["Wait two seconds", "faults", { method: "*", outcome: "delay", seconds: 2 }],
    ["Rate-limit it", "faults", { method: "*", outcome: "ratelimited", seconds: 3 }],
    ["Channel not found", "faults", { method: "chat.*", outcome: "error", error: "channel_not_found" }],
    ["Remove all faults", "faults/clear", {}],
  ]],
];

export class Faults {
  constructor(element) {
    this.element = element;
    this.note = h("p", { class: "hint", role: "status" });
    this.calls = h("ol", { class: "calls" });
    this.enforce = h("input", { type: "checkbox", onchange: (event) => post("rates", { enforcement: event.currentTarget.checked ? "enforced" : "counted" }) });
    element.replaceChildren(
      h("header", {}, h("h2", {}, "Faults and time"), h("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: () => this.toggle() }, "✕")),
      h("div", { class: "faults-body" },
        SWITCHES.map(([title, switches]) => h("section", {}, h("h3", {}, title), switches.map((one) => this.button(...one)))),
        h("label", { class: "choice" }, this.enforce, h("span", {}, "Enforce Slack's rate limits")),
        this.note,
        h("section", {}, h("h3", {}, "Latest calls"), this.calls)),
    );
  }

  button(label, path, body) {
    return h("button", { class: "button", type: "button", onclick: async () => { await post(path, body); await this.refresh(); } }, label);
  }

  toggle() {
    this.element.hidden = !this.element.hidden;
    const opener = document.querySelector("#open-faults");
    opener.setAttribute("aria-expanded", String(!this.element.hidden));
    if (this.element.hidden) opener.focus();
    else this.refresh();
  }

  async refresh() {
    if (this.element.hidden) return;
    const [now, calls] = await Promise.all([get("faults-and-time"), get("calls")]);
    this.enforce.checked = now.enforcement === "enforced";
    const coming = [
      ...now.faults.map((fault) => `${fault.method}: ${fault.error || (fault.outcome === "status" ? fault.status : fault.outcome)}`),
      ...Object.entries(now.deliveries).filter(([, count]) => count).map(([kind, count]) => `next ${count} delivered ${kind}`),
    ];
    const time = new Date(now.now * 1000).toISOString().replace("T", " ").slice(0, 19);
    this.note.textContent = `It is ${time} UTC. ${coming.length ? `Pending faults: ${coming.join("; ")}.` : "No pending faults."}`;
    const rows = calls.slice(-12).reverse();
    this.calls.replaceChildren(...rows.map((call) =>
      h("li", {}, h("code", {}, call.method), h("span", { class: call.outcome === "ok" ? "" : "bad" }, call.outcome))));
  }
}
