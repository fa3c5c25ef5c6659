// Slack's mrkdwn as elements: formatting, mentions, links, dates in the viewer's time zone, a few emoji.

import { h } from "./dom.js";

const EMOJI = {
  white_check_mark: "✅", x: "❌", warning: "⚠️", hourglass: "⌛", hourglass_flowing_sand: "⏳", tada: "🎉", eyes: "👀",
  rocket: "🚀", no_entry: "⛔", bell: "🔔", memo: "📝", lock: "🔒", thumbsup: "👍", "+1": "👍", thumbsdown: "👎", "-1": "👎",
  heavy_check_mark: "✔️", wave: "👋", bulb: "💡", chart_with_upwards_trend: "📈", large_green_circle: "🟢",
  large_yellow_circle: "🟡", red_circle: "🔴", clock3: "🕒", alarm_clock: "⏰", repeat: "🔁", arrow_right: "➡️",
};

export const unescape = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

/** Render a text object, or nothing where there is none. */
export function textObject(text, world) {
  if (!text) return null;
  return text.type === "mrkdwn" ? mrkdwn(text.text, world) : plain(text.text);
}

export function plain(text) {
  const fragment = document.createDocumentFragment();
  text.split("\n").forEach((line, index) => {
    if (index) fragment.append(h("br"));
    fragment.append(emoji(line));
  });
  return fragment;
}

const emoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);

export function mrkdwn(text, world) {
  const fragment = document.createDocumentFragment();
  text.split(/```([\s\S]*?)```/).forEach((part, index) => {
    if (index % 2) fragment.append(h("pre", {}, unescape(part.replace(/^\n/, ""))));
    else fragment.append(...lines(part, world));
  });
  return fragment;
}

function lines(text, world) {
  const found = [];
  let quote = null;
  let list = null;
  text.split("\n").forEach((line, index, all) => {
    const quoted = line.match(/^(?:&gt;|>)\s?(.*)$/);
    const item = line.match(/^\s*(?:[•◦]|[-](?=\s))\s*(.*)$/);
    if (!quoted) quote = null;
    if (!item) list = null;
    if (quoted) {
      if (quote) quote.append(h("br"));
      else found.push((quote = h("blockquote")));
      quote.append(...inline(quoted[1], world));
    } else if (item) {
      if (!list) found.push((list = h("ul")));
      list.append(h("li", {}, ...inline(item[1], world)));
    } else {
      found.push(...inline(line, world));
      const next = all[index + 1];
      if (next !== undefined && !/^(?:&gt;|>|\s*[•◦]|\s*-\s)/.test(next)) found.push(h("br"));
    }
  });
  return found;
}

const RULES = [
  [/`([^`\n]+)`/, (match) => h("code", {}, unescape(match[1]))],
  [/<([^<>\n]+)>/, (match, world) => token(match[1], world)],
  [/(?<![\w*])\*(?!\s)([^*\n]+?)(?<!\s)\*(?![\w*])/, (match, world) => h("strong", {}, ...inline(match[1], world))],
  [/(?<![\w_])_(?!\s)([^_\n]+?)(?<!\s)_(?![\w_])/, (match, world) => h("em", {}, ...inline(match[1], world))],
  [/(?<![\w~])~(?!\s)([^~\n]+?)(?<!\s)~(?![\w~])/, (match, world) => h("s", {}, ...inline(match[1], world))],
];

function inline(text, world) {
  let first = null;
  for (const [pattern, build] of RULES) {
    const match = pattern.exec(text);
    if (match && (!first || match.index < first.match.index)) first = { match, build };
  }
  if (!first) return text ? [emoji(unescape(text))] : [];
  const { match, build } = first;
  return [
    ...inline(text.slice(0, match.index), world),
    build(match, world),
    ...inline(text.slice(match.index + match[0].length), world),
  ];
}

function token(inner, world) {
  const bar = inner.indexOf("|");
  const [target, label] = bar < 0 ? [inner, ""] : [inner.slice(0, bar), inner.slice(bar + 1)];
  if (target.startsWith("@")) {
    const person = world.people.find((one) => one.id === target.slice(1));
    const mine = person?.id === world.me.id ? " me" : "";
    return h("span", { class: `mention${mine}` }, `@${person?.name ?? (label || target.slice(1))}`);
  }
  if (target.startsWith("#")) {
    const channel = world.channels.find((one) => one.id === target.slice(1));
    return h("a", { class: "mention", href: `#${target.slice(1)}` }, `#${channel?.name ?? (label || target.slice(1))}`);
  }
  if (target.startsWith("!subteam^")) {
    const group = world.groups.find((one) => one.id === target.slice("!subteam^".length));
    const mine = group?.members.includes(world.me.id) ? " me" : "";
    return h("span", { class: `mention${mine}` }, `@${group?.handle ?? (label.replace(/^@/, "") || "group")}`);
  }
  if (target.startsWith("!date^")) return date(target, unescape(label), world);
  if (target.startsWith("!")) return h("span", { class: "mention me" }, `@${target.slice(1)}`);
  return link(unescape(target), unescape(label || target).replace(/^mailto:/, ""));
}

/** Only what can do no harm becomes a link. */
export function link(address, label) {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return document.createTextNode(label);
  return h("a", { href: address, target: "_blank", rel: "noreferrer noopener" }, label);
}

function date(target, fallback, world) {
  const [, seconds, format, address] = target.split("^");
  const at = new Date(Number(seconds) * 1000);
  if (!format || Number.isNaN(at.getTime())) return document.createTextNode(fallback);
  const text = unescape(format).replace(/\{(\w+)\}/g, (whole, name) => dateToken(name, at, world) ?? whole);
  const time = h("time", { datetime: at.toISOString(), title: show(at, world, { dateStyle: "full", timeStyle: "long" }) }, text);
  if (!address) return time;
  const anchor = link(unescape(address), "");
  if (!(anchor instanceof HTMLElement)) return time;
  anchor.append(time);
  return anchor;
}

export const show = (at, world, options) => new Intl.DateTimeFormat("en-GB", { timeZone: world.me.tz, ...options }).format(at);

function dateToken(name, at, world) {
  const long = { weekday: "long", month: "long", day: "numeric", year: "numeric" };
  const middle = { month: "long", day: "numeric", year: "numeric" };
  const short = { month: "short", day: "numeric", year: "numeric" };
  const day = (when) => show(when, world, { year: "numeric", month: "2-digit", day: "2-digit" });
  const pretty = (options) => {
    const now = world.now * 1000;
    const names = { [day(new Date(now - 864e5))]: "yesterday", [day(new Date(now))]: "today", [day(new Date(now + 864e5))]: "tomorrow" };
    return names[day(at)] ?? show(at, world, options);
  };
  switch (name) {
    case "date_num": return show(at, world, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/").reverse().join("-");
    case "date": return show(at, world, middle);
    case "date_short": return show(at, world, short);
    case "date_long": return show(at, world, long);
    case "date_pretty": return pretty(middle);
    case "date_short_pretty": return pretty(short);
    case "date_long_pretty": return pretty(long);
    case "time": return show(at, world, { hour: "2-digit", minute: "2-digit" });
    case "time_secs": return show(at, world, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    case "ago": return ago(at, world);
    default: return null;
  }
}

function ago(at, world) {
  const seconds = Math.round(at.getTime() / 1000 - world.now);
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
