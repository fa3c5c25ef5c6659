// The page: channels, messages, threads and the Home tab as one person sees them, kept up to date by server-sent events.

import { avatar, failureText, get, h, post } from "./dom.js";
import { renderBlocks } from "./blocks.js";
import { mrkdwn, show } from "./mrkdwn.js";
import { askFirst, Form, Modals } from "./views.js";
import { Faults } from "./faults.js";

const $ = (selector) => document.querySelector(selector);

class Page {
  constructor() {
    const asked = new URLSearchParams(location.search).get("as");
    this.me = asked ?? sessionStorage.getItem("me") ?? "alice";
    this.world = null;
    this.place = "";
    this.threadTs = "";
    this.rendered = new Map(); // key of a message -> { json, node }
    this.read = new Map(); // person/channel -> ts of the latest message seen
    this.modals = new Modals(this);
    this.faults = new Faults($("#faults"));
    this.homeForm = null;
    this.pending = null;
  }

  async start() {
    await this.refresh();
    this.goToHash();
    window.addEventListener("hashchange", () => this.goToHash());
    $("#me").addEventListener("change", (event) => this.become(event.currentTarget.value));
    $("#composer").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    $("#composer-text").addEventListener("input", () => this.hint());
    $("#composer-text").addEventListener("keydown", (event) => this.complete(event));
    $("#open-faults").addEventListener("click", () => this.faults.toggle());
    $("#open-sidebar").addEventListener("click", () => this.toggleSidebar());
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.toggleSidebar(false); });
    document.addEventListener("visibilitychange", () => this.draw());
    const stream = new EventSource(`/sandbox/stream?after=${this.world.seq}`);
    stream.onmessage = () => this.refreshSoon();
    stream.onerror = () => { $("#connection").textContent = "sandbox is gone"; $("#connection").className = "connection bad"; };
    stream.onopen = () => this.refreshSoon();
  }

  // Many changes in a row are one look at the server.
  refreshSoon() {
    this.pending ??= setTimeout(() => { this.pending = null; this.refresh(); }, 30);
  }

  async refresh() {
    let world = await get(`screen?user=${encodeURIComponent(this.me)}`).catch(() => null);
    if (!world?.me) return;
    if (this.world && world.seq < this.world.seq && world.me.id === this.world.me.id) return; // an older answer came late
    this.world = world;
    this.draw();
    this.faults.refresh();
  }

  async become(name) {
    this.me = name;
    sessionStorage.setItem("me", name);
    this.rendered.clear();
    this.homeForm = null;
    const wasDirect = this.place.startsWith("D");
    await this.refresh();
    if (wasDirect) location.hash = this.direct().id;
    else if (!this.channel() && this.place !== "home") location.hash = this.world.channels[0].id;
    if (this.place === "home") await post("acts/home", { user: this.me });
    this.draw();
  }

  goToHash() {
    const [place, message] = location.hash.slice(1).split("/");
    const known = place === "home" || this.world.channels.some((one) => one.id === place);
    const next = known ? place : (this.world.channels.find((one) => one.has_app && !one.archived) ?? this.world.channels[0]).id;
    if (next !== this.place) this.threadTs = "";
    this.place = next;
    this.toggleSidebar(false);
    if (next === "home") post("acts/home", { user: this.me });
    this.draw();
    this.scrollDown();
    if (message) this.jumpTo(message);
  }

  jumpTo(message) {
    const ts = message.replace(/^p/, "").replace(/(\d{6})$/, ".$1");
    const node = document.getElementById(`m-${ts}`);
    node?.scrollIntoView({ block: "center" });
    node?.classList.add("target");
  }

  channel = () => this.world.channels.find((one) => one.id === this.place);
  direct = () => this.world.channels.find((one) => one.kind === "direct");
  person = (id) => this.world.people.find((one) => one.id === id);
  unreadKey = (channel) => `${this.world.me.id}/${channel.id}`;

  draw() {
    if (!this.world || !this.place) return;
    this.drawTop();
    this.markRead();
    this.drawSidebar();
    this.drawPlace();
    if (this.place === "home") this.drawHome();
    else this.drawMessages();
    this.drawThread();
    this.modals.update(this.world.views, this.world);
  }

  drawTop() {
    const select = $("#me");
    const options = this.world.people.filter((one) => one.kind !== "app" && one.kind !== "deactivated");
    const key = options.map((one) => `${one.name}${one.kind}`).join();
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(...options.map((one) => h("option", { value: one.name }, `${one.name} · ${one.kind === "member" ? one.title || "member" : one.kind}`)));
    }
    select.value = this.world.me.name;
    $("#me-avatar").replaceChildren(avatar(this.world.me));
    const connected = this.world.connections > 0;
    $("#connection").textContent = connected ? "app connected" : "app not connected";
    $("#connection").className = `connection ${connected ? "good" : "bad"}`;
  }

  markRead() {
    for (const channel of this.world.channels) {
      const key = this.unreadKey(channel);
      const latest = channel.messages.at(-1)?.ts ?? "0";
      const looking = channel.id === this.place && document.visibilityState === "visible";
      if (looking || !this.read.has(key)) this.read.set(key, latest);
    }
  }

  unread = (channel) => channel.messages.filter((one) => one.ts > this.read.get(this.unreadKey(channel)) && one.user !== this.world.me.id).length;

  drawSidebar() {
    const entry = (id, prefix, name, count, more = "") =>
      h("a", { href: `#${id}`, class: `entry${id === this.place ? " here" : ""}${count ? " unread" : ""}${more}`, "aria-current": id === this.place ? "page" : null },
        h("span", { class: "prefix", "aria-hidden": "true" }, prefix), h("span", { class: "entry-name" }, name),
        count ? h("span", { class: "badge", "aria-label": `${count} unread` }, String(count)) : null);
    const own = this.direct();
    const rooms = this.world.channels.filter((one) => one.kind !== "direct");
    const total = this.world.channels.reduce((sum, one) => sum + this.unread(one), 0);
    document.title = total ? `(${total}) Slack sandbox` : "Slack sandbox";
    const nodes = [
      h("p", { class: "workspace" }, "Sandbox workspace"),
      h("h2", {}, "Channels"),
      ...rooms.map((one) => entry(one.id, "#", one.archived ? `${one.name} (archived)` : one.name, this.unread(one), one.archived ? " faint" : "")),
      h("h2", {}, "Direct messages"),
      entry(own.id, "●", this.world.app.name, this.unread(own)),
      h("h2", {}, "Apps"),
      entry("home", "⌂", `${this.world.app.name} Home`, 0),
    ];
    replaceKeepingFocus($("#sidebar"), nodes);
  }

  drawPlace() {
    const channel = this.channel();
    const app = this.world.app.name;
    let name = `# ${channel?.name ?? ""}`;
    let note = channel?.topic ?? "";
    if (this.place === "home" || channel?.kind === "direct") { name = app; note = "App"; }
    const tab = (href, label, here) => h("a", { href, class: here ? "tab here" : "tab", "aria-current": here ? "page" : null }, label);
    const tabs = (this.place === "home" || channel?.kind === "direct") &&
      h("nav", { class: "tabs", "aria-label": app }, tab("#home", "Home", this.place === "home"), tab(`#${this.direct().id}`, "Messages", this.place !== "home"));
    const count = channel && channel.kind !== "direct" ? h("span", { class: "members" }, `${channel.members.length} members`) : null;
    replaceKeepingFocus($("#place"), [h("div", { class: "place-line" }, h("h1", { id: "place-name" }, name), h("span", { class: "topic" }, note), count), tabs || ""]);
    $("#composer").hidden = this.place === "home" || Boolean(channel?.archived);
    const input = $("#composer-text");
    input.placeholder = `Message ${channel?.kind === "direct" ? app : name.replace("# ", "#")}, or type / for a command`;
  }

  drawMessages() {
    const list = $("#messages");
    const channel = this.channel();
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    const nodes = [];
    let day = "";
    for (const message of channel.messages.filter((one) => !one.thread_ts || one.thread_ts === one.ts)) {
      const at = new Date(Number(message.ts) * 1000);
      const itsDay = show(at, this.world, { weekday: "long", day: "numeric", month: "long" });
      if (itsDay !== day) nodes.push(h("div", { class: "day", role: "separator" }, h("span", {}, (day = itsDay))));
      nodes.push(this.message(channel, message));
    }
    if (!nodes.length) nodes.push(h("p", { class: "empty" }, channel.has_app ? "Nothing here yet." : "The app is not a member of this channel."));
    syncChildren(list, nodes);
    if (atEnd) this.scrollDown();
  }

  scrollDown() {
    const list = $("#messages");
    list.scrollTop = this.place === "home" ? 0 : list.scrollHeight;
  }

  // An unchanged message keeps its element, and with it focus and open menus.
  message(channel, message, inThread = false) {
    const replies = inThread ? [] : channel.messages.filter((one) => one.thread_ts === message.ts && one.ts !== message.ts);
    const key = `${inThread}/${channel.id}/${message.ts}`;
    const json = JSON.stringify([message, replies.length, this.world.me.id]);
    const known = this.rendered.get(key);
    if (known?.json === json) return known.node;
    const node = this.buildMessage(channel, message, replies, inThread);
    this.rendered.set(key, { json, node });
    return node;
  }

  buildMessage(channel, message, replies, inThread) {
    const author = this.person(message.user);
    const isApp = author?.kind === "app";
    const at = new Date(Number(message.ts) * 1000);
    const note = h("p", { class: "act-note", role: "alert", hidden: true });
    const act = (element, block, entry, opener) =>
      this.act({ channel: channel.id, ts: message.ts }, element, block, entry, opener, (text) => { note.textContent = text; note.hidden = !text; });
    const body = message.blocks.length ? renderBlocks(message.blocks, this.world, act, null) : [h("div", { class: "block text" }, mrkdwn(message.text, this.world))];
    return h("article", { class: `message${message.visible_to ? " ephemeral" : ""}`, id: inThread ? null : `m-${message.ts}`, tabindex: "-1", "aria-label": `${isApp ? this.world.app.name : author?.name}: ${message.text}` },
      avatar(author, this.world.app),
      h("div", { class: "message-main" },
        message.visible_to ? h("p", { class: "only-you" }, "Only visible to you") : null,
        h("p", { class: "byline" },
          h("strong", {}, isApp ? this.world.app.name : author?.real_name ?? message.user),
          isApp ? h("span", { class: "app-badge" }, "APP") : null,
          h("time", { datetime: at.toISOString(), title: show(at, this.world, { dateStyle: "full", timeStyle: "long" }) }, show(at, this.world, { hour: "2-digit", minute: "2-digit" })),
          message.edited ? h("span", { class: "edited" }, "(edited)") : null),
        body, note,
        replies.length ? h("button", { class: "replies", type: "button", onclick: () => this.openThread(message.ts) }, `${replies.length} ${replies.length === 1 ? "reply" : "replies"}`) : null),
      message.visible_to || inThread ? null : this.tools(channel, message, note));
  }

  tools(channel, message, note) {
    const run = async (shortcut) => {
      const answer = await post("acts/shortcut", { user: this.me, channel: channel.id, ts: message.ts, callback_id: shortcut.callback_id });
      note.textContent = answer.error ? failureText(answer.error) : "";
      note.hidden = !answer.error;
    };
    const fromApp = message.user === this.world.app.user;
    return h("div", { class: "tools", role: "group", "aria-label": "Message actions" },
      h("button", { class: "icon-button", type: "button", onclick: () => this.openThread(message.ts) }, "Reply"),
      fromApp ? this.world.app.shortcuts.map((one) => h("button", { class: "icon-button", type: "button", onclick: () => run(one) }, one.name)) : null);
  }

  openThread(ts) {
    this.threadTs = ts;
    this.drawThread();
    $("#thread input")?.focus();
  }

  drawThread() {
    const pane = $("#thread");
    const channel = this.channel();
    const root = channel?.messages.find((one) => one.ts === this.threadTs);
    pane.hidden = !root;
    if (!root) { pane.replaceChildren(); return; }
    if (pane.dataset.ts !== root.ts || !pane.firstChild) {
      pane.dataset.ts = root.ts;
      const input = h("input", { type: "text", "aria-label": "Reply", placeholder: "Reply…" });
      const send = (event) => {
        event.preventDefault();
        if (input.value.trim()) post("acts/say", { user: this.me, channel: channel.id, text: input.value.trim(), thread_ts: root.ts });
        input.value = "";
      };
      pane.replaceChildren(
        h("header", {}, h("h2", {}, "Thread"), h("button", { class: "icon-button", type: "button", "aria-label": "Close thread", onclick: () => { this.threadTs = ""; this.drawThread(); } }, "✕")),
        h("div", { class: "thread-messages" }),
        h("form", { class: "composer-box", onsubmit: send }, input, h("button", { class: "button primary", type: "submit" }, "Reply")));
    }
    const thread = channel.messages.filter((one) => one.ts === root.ts || one.thread_ts === root.ts);
    syncChildren(pane.querySelector(".thread-messages"), thread.map((one) => this.message(channel, one, true)));
  }

  drawHome() {
    const list = $("#messages");
    const home = this.world.home;
    if (!home) { list.replaceChildren(h("p", { class: "empty" }, "The app has not published its Home tab yet.")); return; }
    const key = `${home.id}/${home.hash}`;
    if (list.firstChild?.dataset?.home === key) return;
    this.homeForm = new Form(home);
    const note = h("p", { class: "act-note", role: "alert", hidden: true });
    const act = (element, block, entry, opener) =>
      this.act({ view: home.id, entries: this.homeForm.entries }, element, block, entry, opener, (text) => { note.textContent = text; note.hidden = !text; });
    const node = h("div", { class: "home" }, renderBlocks(home.blocks, this.world, act, this.homeForm), note);
    node.dataset.home = key;
    list.replaceChildren(node);
  }

  /** Use an element: ask first where it wants that, send it, and say if the app did not answer. */
  async act(where, element, block, entry, opener, say) {
    if (element.confirm && !(await askFirst(element.confirm, this.world))) return;
    say("");
    opener?.classList.add("busy");
    const body = { user: this.me, where, block_id: block.block_id, action_id: element.action_id, entry };
    const answer = await post("acts/click", body);
    opener?.classList.remove("busy");
    if (answer.error) say(failureText(answer.error));
    await this.refresh();
  }

  async send() {
    const input = $("#composer-text");
    const text = input.value.trim();
    if (!text) return;
    const note = $("#composer-note");
    note.textContent = "";
    input.value = "";
    this.hint();
    const answer = text.startsWith("/")
      ? await post("acts/command", { user: this.me, channel: this.place, line: text })
      : await post("acts/say", { user: this.me, channel: this.place, text: text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") });
    if (answer.error) { note.textContent = failureText(answer.error); input.value = text; }
    await this.refresh();
    this.scrollDown();
  }

  matching = () => {
    const word = $("#composer-text").value.trimStart().split(" ")[0];
    return word.startsWith("/") ? this.world.app.commands.filter((one) => one.command.startsWith(word)) : [];
  };

  hint() {
    const hints = $("#command-hints");
    const found = this.matching();
    hints.hidden = !found.length;
    hints.replaceChildren(...found.map((one) => h("li", {}, h("strong", {}, one.command), ` ${one.usage_hint} `, h("span", { class: "description" }, one.description))));
  }

  complete(event) {
    const [first] = this.matching();
    const input = event.currentTarget;
    if (event.key === "Tab" && !event.shiftKey && first && !input.value.includes(" ")) {
      event.preventDefault();
      input.value = `${first.command} `;
      this.hint();
    }
  }

  toggleSidebar(open = !document.body.classList.contains("sidebar-open")) {
    document.body.classList.toggle("sidebar-open", open);
    $("#open-sidebar").setAttribute("aria-expanded", String(open));
  }

  // What had the focus may be gone: the message it belonged to is then the next best place.
  focusAfterModal(element) {
    if (element?.isConnected && element !== document.body) element.focus();
    else ($("#messages").lastElementChild ?? $("#composer-text")).focus();
  }
}

/** Make an element's children be these nodes and move as few as possible, so that focus survives. */
function syncChildren(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => { if (parent.childNodes[index] !== node) parent.insertBefore(node, parent.childNodes[index] ?? null); });
}

function replaceKeepingFocus(parent, nodes) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  parent.replaceChildren(...nodes);
  if (focused) [...parent.querySelectorAll("a")].find((one) => one.getAttribute("href") === focused)?.focus();
}

new Page().start();
