// Modals and the Home tab: a form's entries, its submission, and the dialog that shows it.

import { failureText, h, newId, post } from "./dom.js";
import { renderBlocks } from "./blocks.js";
import { plain, textObject } from "./mrkdwn.js";

/** What a person has entered into a view so far, over the values that the server knows. */
export class Form {
  constructor(view) {
    this.entries = {};
    this.values = view.state.values;
  }

  value(block, element) {
    const entered = this.entries[block.block_id];
    if (entered && element.action_id in entered) return entered[element.action_id];
    const state = this.values[block.block_id]?.[element.action_id] ?? {};
    if (state.selected_options) return state.selected_options.map((option) => option.value);
    return state.value ?? state.selected_option?.value ?? state.selected_date ?? state.selected_time ?? state.selected_date_time
      ?? state.selected_user ?? state.selected_users ?? state.selected_conversation ?? state.selected_conversations
      ?? state.selected_channel ?? null;
  }

  enter(block, element, entry) {
    (this.entries[block.block_id] ??= {})[element.action_id] = entry;
  }
}

/** Ask with a dialog, as a button's confirm object wants it; resolves to whether the person goes on. */
export function askFirst(confirm, world) {
  return new Promise((resolve) => {
    const title = newId("confirm");
    const kind = confirm.style === "danger" ? "danger" : "primary";
    const dialog = h("dialog", { class: "modal confirm", "aria-labelledby": title },
      h("form", { method: "dialog" },
        h("header", {}, h("h2", { id: title }, plain(confirm.title.text))),
        h("div", { class: "modal-body text" }, textObject(confirm.text, world)),
        h("footer", {},
          h("button", { class: "button", value: "no" }, plain(confirm.deny?.text ?? "No")),
          h("button", { class: `button ${kind}`, value: "yes", autofocus: true }, plain(confirm.confirm?.text ?? "Yes")))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.querySelector("#dialogs").append(dialog);
    dialog.showModal();
  });
}

/** The stack of modals of the person at the page; only the top one is shown. */
export class Modals {
  constructor(page) {
    this.page = page;
    this.shown = null; // { id, hash, dialog, form }
    this.forms = new Map();
  }

  update(views, world) {
    const top = views.at(-1) ?? null;
    for (const id of this.forms.keys()) if (!views.some((view) => view.id === id)) this.forms.delete(id);
    if (top && this.shown?.id === top.id && this.shown.hash === top.hash) return;
    const before = this.shown;
    const focusBack = before?.focusBack ?? document.activeElement;
    this.shown = null;
    before?.dialog.remove();
    if (!top) {
      if (before) this.page.focusAfterModal(focusBack);
      return;
    }
    const known = this.forms.get(top.id);
    const form = new Form(top);
    if (known) form.entries = keptEntries(known.entries, top);
    this.forms.set(top.id, form);
    const dialog = this.build(top, form, world);
    this.shown = { id: top.id, hash: top.hash, dialog, form, focusBack };
    document.querySelector("#dialogs").append(dialog);
    dialog.showModal();
    const first = dialog.querySelector("[autofocus], .modal-body input, .modal-body select, .modal-body textarea");
    (first ?? dialog.querySelector("footer .button"))?.focus();
  }

  build(view, form, world) {
    const title = newId("modal");
    const act = (element, block, entry, opener) =>
      this.page.act({ view: view.id, entries: form.entries }, element, block, entry, opener, (text) => this.say(dialog, text));
    const close = () => this.close(view, dialog);
    const label = view.close?.text ?? (view.submit ? "Cancel" : "Close");
    const body = h("div", { class: "modal-body" }, h("p", { class: "banner", role: "alert", hidden: true }), renderBlocks(view.blocks, world, act, form));
    const submit = view.submit && h("button", { class: "button primary", type: "submit" }, plain(view.submit.text));
    const dialog = h("dialog", { class: "modal", "aria-labelledby": title },
      h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.submit(view, form, dialog, submit); } },
        h("header", {},
          h("img", { class: "avatar small", src: "/page/icon.svg", alt: "" }),
          h("h2", { id: title }, plain(view.title.text)),
          h("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: close }, "✕")),
        body,
        h("footer", {}, h("button", { class: "button", type: "button", onclick: close }, plain(label)), submit)));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
    return dialog;
  }

  async submit(view, form, dialog, button) {
    if (!button || dialog.getAttribute("aria-busy") === "true") return;
    this.busy(dialog, button, true);
    this.say(dialog, "");
    const answer = await post("acts/submit", { user: this.page.me, view: view.id, entries: form.entries });
    this.busy(dialog, button, false);
    if (answer.error) this.say(dialog, failureText(answer.error));
    for (const place of dialog.querySelectorAll("[data-block]")) {
      const text = answer.errors?.[place.dataset.block] ?? "";
      place.classList.toggle("has-error", Boolean(text));
      place.querySelector(".field-error").textContent = text;
      for (const input of place.querySelectorAll("input, select, textarea")) input.setAttribute("aria-invalid", String(Boolean(text)));
    }
    dialog.querySelector(".has-error input, .has-error select, .has-error textarea")?.focus();
    await this.page.refresh();
  }

  async close(view, dialog) {
    dialog.setAttribute("aria-busy", "true");
    await post("acts/close", { user: this.page.me, view: view.id });
    await this.page.refresh();
  }

  busy(dialog, button, isBusy) {
    dialog.setAttribute("aria-busy", String(isBusy));
    button.disabled = isBusy;
    button.classList.toggle("busy", isBusy);
  }

  say(dialog, text) {
    const banner = dialog.querySelector(".banner");
    banner.textContent = text;
    banner.hidden = !text;
  }
}

function keptEntries(entries, view) {
  const fields = new Map(view.blocks.filter((block) => block.type === "input").map((block) => [block.block_id, block.element.action_id]));
  return Object.fromEntries(Object.entries(entries).filter(([block, actions]) => fields.has(block) && fields.get(block) in actions));
}
