// Block Kit as elements. `act(element, block, entry)` is called when a person uses something that acts at once.

import { h, newId } from "./dom.js";
import { field, labelled } from "./fields.js";
import { mrkdwn, plain, textObject } from "./mrkdwn.js";

/** Render blocks. `form` holds entries and errors of a view; messages have none. */
export function renderBlocks(blocks, world, act, form) {
  return blocks.map((block) => renderBlock(block, world, act, form));
}

function renderBlock(block, world, act, form) {
  switch (block.type) {
    case "header": return h("h3", { class: "block header-block" }, plain(block.text.text));
    case "divider": return h("hr", { class: "block" });
    case "section": return section(block, world, act, form);
    case "context": return context(block, world);
    case "actions":
      return h("div", { class: "block actions" }, block.elements.map((one) => element(one, block, world, act, form)));
    case "image": return picture(block);
    case "input": return inputBlock(block, world, act, form);
    case "markdown": return h("div", { class: "block text" }, plain(block.text));
    case "table": return table(block, world);
    case "rich_text": return h("div", { class: "block text" }, block.elements.map((one) => rich(one, world)));
    default: return h("div", { class: "block unknown" }, `Block ${block.type}`);
  }
}

function section(block, world, act, form) {
  const body = h("div", { class: "section-body" });
  if (block.text) body.append(h("div", { class: "text" }, textObject(block.text, world)));
  if (block.fields) {
    body.append(h("div", { class: "fields" }, block.fields.map((one) => h("div", { class: "text" }, textObject(one, world)))));
  }
  const accessory = block.accessory && h("div", { class: "accessory" }, element(block.accessory, block, world, act, form));
  return h("div", { class: "block section" }, body, accessory);
}

function context(block, world) {
  const parts = block.elements.map((one) =>
    one.type === "image"
      ? h("img", { class: "context-image", src: source(one), alt: one.alt_text, title: one.alt_text })
      : h("span", { class: "text" }, textObject(one, world)),
  );
  return h("div", { class: "block context" }, parts);
}

// A long name may go on in the next line where its words meet, so that the last column stays on a phone's screen.
const breakable = (text) => text.split(/(?<=_)/).flatMap((part, number) => (number ? [h("wbr"), part] : [part]));

function table(block, world) {
  const cell = (one, column, head) => {
    const setting = block.column_settings?.[column] ?? {};
    const kind = `${setting.align ?? "left"}${setting.is_wrapped ? " wrapped" : ""}`;
    const shown = one.type === "rich_text" ? one.elements.map((part) => rich(part, world)) : breakable(String(one.text ?? one.value));
    return h(head ? "th" : "td", { class: kind, scope: head ? "col" : null }, shown);
  };
  const [first, ...rest] = block.rows.map((row, number) => h("tr", {}, row.map((one, column) => cell(one, column, number === 0))));
  const body = h("table", {}, h("thead", {}, first), h("tbody", {}, rest));
  return h("div", { class: "block table", tabindex: "0", role: "group", "aria-label": "Table" }, body);
}

const source = (image) => image.image_url ?? `/files/${encodeURIComponent(image.slack_file.id ?? "")}`;

function picture(block) {
  const caption = block.title && h("figcaption", {}, plain(block.title.text));
  return h("figure", { class: "block picture" }, caption, h("img", { src: source(block), alt: block.alt_text }));
}

function rich(node, world) {
  switch (node.type) {
    case "rich_text_list":
      return h(node.style === "ordered" ? "ol" : "ul", {}, node.elements.map((one) => h("li", {}, rich(one, world))));
    case "rich_text_quote": return h("blockquote", {}, node.elements.map((one) => rich(one, world)));
    case "rich_text_preformatted": return h("pre", {}, node.elements.map((one) => one.text ?? ""));
    case "rich_text_section": return h("span", {}, node.elements.map((one) => rich(one, world)));
    case "text": return styled(node);
    case "link": return mrkdwn(`<${node.url}|${node.text ?? node.url}>`, world);
    case "user": return mrkdwn(`<@${node.user_id}>`, world);
    case "usergroup": return mrkdwn(`<!subteam^${node.usergroup_id}>`, world);
    case "broadcast": return mrkdwn(`<!${node.range}>`, world);
    case "emoji": return plain(`:${node.name}:`);
    default: return "";
  }
}

function styled(node) {
  const tags = [["bold", "strong"], ["italic", "em"], ["strike", "s"], ["code", "code"]].filter(([name]) => node.style?.[name]);
  return tags.reduce((inner, [, tag]) => h(tag, {}, inner), plain(node.text));
}

function inputBlock(block, world, act, form) {
  const id = newId("field");
  const hintId = block.hint ? `${id}-hint` : null;
  const errorId = `${id}-error`;
  const control = field(block.element, {
    id,
    world,
    value: form.value(block, block.element),
    describedBy: [hintId, errorId].filter(Boolean).join(" "),
    required: !block.optional,
    onchange: (entry) => {
      form.enter(block, block.element, entry);
      error.textContent = "";
      container.classList.remove("has-error");
      if (block.dispatch_action) act(block.element, block, entry);
    },
  });
  const optional = block.optional && h("span", { class: "optional" }, " (optional)");
  const error = h("p", { id: errorId, class: "field-error", role: "alert" });
  const hint = block.hint && h("p", { id: hintId, class: "hint" }, plain(block.hint.text));
  const container = labelled(control, [plain(block.label.text), optional], id, hint, error);
  container.dataset.block = block.block_id;
  return container;
}

function element(one, block, world, act, form) {
  switch (one.type) {
    case "button": return button(one, block, act);
    case "overflow": return overflow(one, block, act);
    case "image": return h("img", { class: "accessory-image", src: source(one), alt: one.alt_text });
    default: {
      const label = one.placeholder?.text ?? "Choose";
      const value = form ? form.value(block, one) : null;
      return field(one, { id: newId("element"), world, value, label, onchange: (entry) => act(one, block, entry) });
    }
  }
}

function button(one, block, act) {
  const kind = one.style ? ` ${one.style}` : "";
  const label = one.accessibility_label ?? null;
  if (one.url && /^https?:/i.test(one.url)) {
    const go = () => act(one, block, null);
    return h("a", { class: `button${kind}`, href: one.url, target: "_blank", rel: "noreferrer noopener", "aria-label": label, onclick: go }, plain(one.text.text));
  }
  const click = (event) => act(one, block, null, event.currentTarget);
  return h("button", { class: `button${kind}`, type: "button", "aria-label": label, onclick: click }, plain(one.text.text));
}

function overflow(one, block, act) {
  const id = newId("menu");
  const close = (focus) => {
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    if (focus) opener.focus();
  };
  const items = one.options.map((option) =>
    h("button", { type: "button", role: "menuitem", onclick: () => { close(true); act(one, block, option.value, opener); } },
      plain(option.text.text),
      option.description && h("span", { class: "description" }, plain(option.description.text))),
  );
  const list = h("div", { class: "menu", id, role: "menu", hidden: true }, items);
  const open = () => {
    list.hidden = !list.hidden;
    opener.setAttribute("aria-expanded", String(!list.hidden));
    if (!list.hidden) items[0].focus();
  };
  const opener = h("button", { class: "button overflow", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-controls": id, "aria-label": "More actions", onclick: open }, "⋯");
  return h("span", { class: "menu-holder",
    onkeydown: (event) => {
      if (list.hidden) return;
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        event.preventDefault();
        close(true);
      }
    },
    onfocusout: (event) => { if (!event.currentTarget.contains(event.relatedTarget)) close(false); },
  }, opener, list);
}
