// Small helpers to build elements. Text always goes in as text nodes: nothing that came over the wire is parsed as HTML.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

let lastId = 0;
export const newId = (prefix) => `${prefix}-${++lastId}`;

const COLOURS = ["#2f6f9f", "#8a4f9e", "#b3541e", "#3d7d46", "#a8324e", "#5b5fc7", "#7a6a1c", "#1d7874"];

export function avatar(person, app) {
  if (!person || person.kind === "app") {
    return h("img", { class: "avatar", src: "/page/icon.svg", alt: "", title: app?.name ?? "App" });
  }
  const initials = person.real_name.split(/\s+/).map((word) => word[0]).join("").slice(0, 2);
  const element = h("span", { class: "avatar", title: person.real_name, "aria-hidden": "true" }, initials);
  const sum = [...person.id].reduce((total, character) => total + character.charCodeAt(0), 0);
  element.style.background = COLOURS[sum % COLOURS.length];
  return element;
}

export async function post(path, body) {
  const answer = await fetch(`/sandbox/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
}

export const get = async (path) => (await fetch(`/sandbox/${path}`)).json();

export function failureText(error) {
  if (error === "dispatch_failed") return "The app is not connected, so nothing happened.";
  if (error === "operation_timeout") return "The app did not answer in time. It may still be working on it.";
  return error;
}
