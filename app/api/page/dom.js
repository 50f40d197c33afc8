// Elements from plain calls: what comes from outside is text, never markup.

export const $ = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

// Tells whoever listens to the page instead of looking at it.
export function say(text) {
  $("said").textContent = text;
}

export function table(caption, columns, rows, attributes = {}) {
  const head = columns.map(([label, kind]) => h("th", { scope: "col", class: kind }, label));
  const body = rows.map((cells) =>
    h(
      "tr",
      {},
      cells.map((content, place) => cellOf(content, place, columns[place])),
    ),
  );
  const drawn = h(
    "table",
    attributes,
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, body),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, drawn);
}

function cellOf(content, place, [label, kind]) {
  const attributes = { "data-label": label, class: kind };
  return place === 0 ? h("th", { ...attributes, scope: "row" }, content) : h("td", attributes, content);
}

export function card(title, ...content) {
  return h("section", { class: "card" }, h("h2", {}, title), content);
}

export function facts(pairs) {
  return h(
    "dl",
    {},
    pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

// Draws, and gives the focus back to what is in the place of what had it: a redraw may not take a reader's place away.
export function keepingFocus(place, draw) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const [id, href] = [focused?.id, focused?.getAttribute("href")];
  const drawn = draw();
  if (!focused || focused.isConnected) return drawn;
  const again = id
    ? place.querySelector(`#${CSS.escape(id)}`)
    : href && place.querySelector(`a[href="${CSS.escape(href)}"]`);
  again?.focus({ preventScroll: true });
  return drawn;
}

// Asks before something is done that others will see; resolves to the text typed, or to null.
export async function ask(title, explanation, { action, label, kind = "text" }) {
  const input = label && h("input", { id: "asked", type: kind, autocomplete: "off", maxlength: 500, autofocus: true });
  const field = input && h("p", { class: "field" }, h("label", { for: "asked" }, label), input);
  const leave = h("button", { value: "", autofocus: !input }, "Leave it");
  const answer = await dialog(
    title,
    [h("p", {}, explanation), field],
    [h("button", { value: "yes", class: "main" }, action), leave],
  );
  return answer === "yes" ? (input?.value ?? "") : null;
}

export function notice(title, text) {
  return dialog(title, [h("p", {}, text)], [h("button", { class: "main", autofocus: true }, "Understood")]);
}

function dialog(title, content, buttons) {
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "asking" }, title),
    content,
    h("p", { class: "actions" }, buttons),
  );
  const shown = h("dialog", { "aria-labelledby": "asking" }, form);
  document.body.append(shown);
  return new Promise((resolve) => {
    shown.addEventListener("close", () => {
      shown.remove();
      resolve(shown.returnValue);
    });
    shown.showModal();
  });
}
