// The input elements of a form. Each tells its entry as the sandbox wants it: text, option value, id, date, or a list.

import { h } from "./dom.js";
import { plain } from "./mrkdwn.js";

const TEXT_TYPES = { email_text_input: "email", url_text_input: "url", plain_text_input: "text", number_input: "text" };

/** Put a label, a hint and a place for an error around a control. */
export function labelled(control, label, id, hint, error) {
  if (control.tagName === "FIELDSET") {
    control.prepend(h("legend", {}, label));
    control.append(hint ?? "", error);
    control.classList.add("block", "input-block");
    return control;
  }
  return h("div", { class: "block input-block" }, h("label", { for: id }, label), control, hint, error);
}

export function field(element, options) {
  const { type } = element;
  if (type in TEXT_TYPES) return typed(element, options);
  if (type === "radio_buttons" || type === "checkboxes") return choices(element, element.options.map(fromOption), options);
  if (type === "multi_static_select") return choices(element, optionsOf(element).map(fromOption), options);
  if (type === "multi_users_select") return choices(element, people(options.world), options);
  if (type === "multi_conversations_select") return choices(element, channels(options.world), options);
  if (type === "static_select") return select(element, optionsOf(element).map(fromOption), options);
  if (type === "users_select") return select(element, people(options.world), options);
  if (type === "conversations_select" || type === "channels_select") return select(element, channels(options.world), options);
  if (type === "datepicker") return picker("date", element, options, (text) => text);
  if (type === "timepicker") return picker("time", element, options, (text) => text);
  if (type === "datetimepicker") return dateTime(element, options);
  return h("span", { class: "unknown" }, `Element ${type}`);
}

const optionsOf = (element) => element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);
const fromOption = (option) => ({ value: option.value, label: option.text.text, description: option.description?.text });
const people = (world) =>
  world.people.filter((one) => one.kind !== "deactivated" && one.kind !== "app").map((one) => ({ value: one.id, label: one.real_name }));
const channels = (world) => world.channels.filter((one) => one.name).map((one) => ({ value: one.id, label: `#${one.name}` }));

const common = ({ id, describedBy, label, required }) => ({
  id,
  "aria-describedby": describedBy,
  "aria-label": label ?? null,
  "aria-required": required ? "true" : null,
});

function typed(element, options) {
  const tell = (event) => options.onchange(event.currentTarget.value);
  const placeholder = element.placeholder?.text ?? null;
  const shared = { ...common(options), placeholder, oninput: tell, autofocus: element.focus_on_load ?? false };
  if (element.multiline) {
    const area = h("textarea", { ...shared, rows: 4 });
    area.value = options.value ?? "";
    return area;
  }
  const mode = element.type === "number_input" ? (element.is_decimal_allowed ? "decimal" : "numeric") : null;
  const input = h("input", { ...shared, type: TEXT_TYPES[element.type], inputmode: mode });
  input.value = options.value ?? "";
  return input;
}

function select(element, entries, options) {
  const placeholder = element.placeholder?.text ?? "Select an option";
  const control = h("select", { ...common(options), onchange: (event) => options.onchange(event.currentTarget.value || null) },
    h("option", { value: "" }, placeholder),
    entries.map((one) => h("option", { value: one.value }, one.label)));
  control.value = options.value ?? "";
  return control;
}

function choices(element, entries, options) {
  const many = element.type !== "radio_buttons";
  const chosen = new Set(many ? options.value ?? [] : [options.value]);
  const items = entries.map((one, index) => {
    const box = h("input", { type: many ? "checkbox" : "radio", name: options.id, id: index ? null : options.id, value: one.value, onchange: tell });
    box.checked = chosen.has(one.value);
    const description = one.description && h("span", { class: "description" }, plain(one.description));
    return h("label", { class: "choice" }, box, h("span", {}, plain(one.label), description));
  });
  function tell() {
    const values = items.map((item) => item.querySelector("input")).filter((box) => box.checked).map((box) => box.value);
    options.onchange(many ? values : values[0] ?? null);
  }
  const scroll = element.type.startsWith("multi_") && items.length > 6 ? " scroll" : ""; // Slack's menus, which open
  return h("fieldset", { class: "choices", "aria-describedby": options.describedBy, "aria-label": options.label ?? null },
    h("div", { class: `choice-list${scroll}` }, items));
}

function picker(type, element, options, convert) {
  const input = h("input", { ...common(options), type, onchange: (event) => options.onchange(convert(event.currentTarget.value) || null) });
  input.value = options.value ?? "";
  return input;
}

function dateTime(element, options) {
  const zone = options.world.me.tz;
  const input = h("input", { ...common(options), type: "datetime-local", title: zone,
    onchange: (event) => options.onchange(event.currentTarget.value ? seconds(event.currentTarget.value, zone) : null) });
  if (options.value) input.value = local(options.value, zone);
  return input;
}

/** Seconds since 1970 as the wall clock of a time zone: 2026-11-24T17:00. */
function local(at, zone) {
  const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" }).format(new Date(at * 1000));
  return parts.replace(" ", "T");
}

function seconds(text, zone) {
  const asUtc = Date.parse(`${text}:00Z`) / 1000;
  const offset = (at) => Date.parse(`${local(at, zone)}:00Z`) / 1000 - at;
  return asUtc - offset(asUtc - offset(asUtc));
}
