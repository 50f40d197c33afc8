// An order for a training: a preset, what shall differ from it, and what was wrong with it.

import { answerTo, ask, everyTicker, path, Refused } from "./api.js";
import { h, say } from "./dom.js";

// Where a field stands in the order, what may be typed, and how it is read.
const FIELDS = [
  { at: "ticker", label: "Ticker", required: true, example: "MSFT", list: "known" },
  {
    at: "data/source",
    label: "Source",
    choices: ["", "yahoo", "files", "sample", "upload"],
    none: "the service's own",
  },
  { at: "data/start", label: "First session", type: "date" },
  { at: "data/end", label: "Last session", type: "date" },
  { at: "spec/architecture", label: "Architecture", choices: [""] },
  { at: "spec/features", label: "Inputs", read: words, hint: "such as range, returns, rsi" },
  { at: "spec/peers", label: "Peers", read: words, hint: "tickers whose bars are read too" },
  { at: "spec/window", label: "Window", type: "number", read: Number, hint: "sessions that it looks back" },
  { at: "spec/horizon", label: "Horizon", type: "number", read: Number, hint: "sessions that it looks ahead" },
  { at: "spec/strategy", label: "Strategy", choices: ["", "direct", "encoder_decoder", "recursive"] },
  { at: "spec/units", label: "Units", read: (text) => words(text).map(Number), hint: "one size a layer" },
  { at: "spec/dropout", label: "Dropout", type: "number", read: Number },
  { at: "spec/loss", label: "Loss", choices: ["", "student_t", "pinball", "mse", "mae", "huber"] },
  { at: "spec/optimizer/learning_rate", label: "Learning rate", type: "number", read: Number },
  { at: "spec/epochs", label: "Epochs", type: "number", read: Number },
  { at: "spec/batch_size", label: "Batch", type: "number", read: Number },
  { at: "spec/seeds", label: "Seeds", type: "number", read: Number, hint: "networks that are averaged" },
  { at: "spec/seed", label: "Seed", type: "number", read: Number },
  { at: "promote", label: "Promote", choices: ["", "never"], none: "if it has earned it" },
  { at: "spec", label: "Anything else of the spec", read: jsonObject, example: '{"members": [...]}', hint: "as JSON" },
];
const MAIN = 2; // so many fields are always shown, the others on demand

export async function show(place, { query }, context) {
  const [presets, architectures, tickers] = await Promise.all([
    ask("v1/presets"),
    ask("v1/architectures"),
    everyTicker(),
  ]);
  if (!context.isShown()) return;
  const given = { ticker: query.get("ticker"), "data/source": query.get("source"), "spec/peers": query.get("peers") };
  const known = { presets: presets.items, architectures: architectures.items.map((one) => one.name), tickers };
  const form = formOf(known, given);
  place.replaceChildren(h("h1", {}, "Train"), form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    context.attempt(() => submit(form, context));
  });
}

function formOf({ presets, architectures, tickers }, given) {
  const ofOne = presets.filter((preset) => preset.name !== "pooled"); // that is for a universe, which this form has no field for
  const change = (event) =>
    showDefaults(
      form,
      ofOne.find((preset) => preset.name === event.target.value),
    );
  const preset = h(
    "select",
    { id: "preset", name: "preset", onchange: change },
    ofOne.map(({ name }) => h("option", { value: name }, name)),
  );
  const kinds = [
    ["train", "train and keep a version"],
    ["backtest", "judge only, keep nothing"],
  ].map(([value, label]) => h("option", { value }, label));
  const drawn = FIELDS.map((field) => {
    const choices = field.at === "spec/architecture" ? ["", ...architectures] : field.choices;
    return fieldOf({ ...field, choices }, given[field.at]);
  });
  const form = h(
    "form",
    { class: "card", novalidate: true },
    h("div", { id: "refusal", role: "alert" }),
    h(
      "div",
      { class: "fields" },
      drawn.slice(0, MAIN),
      labelled("preset", "Preset", preset, h("span", { id: "summary" })),
      labelled("kind", "What for", h("select", { id: "kind", name: "kind" }, kinds)),
    ),
    h(
      "details",
      { open: Boolean(given["spec/peers"]) },
      h("summary", {}, "What shall differ from the preset"),
      h("div", { class: "fields" }, drawn.slice(MAIN)),
    ),
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Submit")),
    h(
      "datalist",
      { id: "known" },
      tickers.map((ticker) => h("option", { value: ticker })),
    ),
  );
  showDefaults(form, ofOne[0]);
  return form;
}

function fieldOf(field, value) {
  const common = { id: field.at, name: field.at, "aria-describedby": `${field.at}-hint ${field.at}-wrong` };
  const typed = { number: { type: "number", step: "any" }, date: { type: "date" } }[field.type] ?? {
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
  };
  const input = field.choices
    ? h(
        "select",
        common,
        field.choices.map((choice) =>
          h("option", { value: choice, selected: choice === (value ?? "") }, choice || field.none),
        ),
      )
    : h("input", {
        ...common,
        ...typed,
        value: value ?? "",
        list: field.list,
        placeholder: field.example,
        required: field.required,
      });
  return labelled(field.at, field.label, input, h("span", { id: `${field.at}-hint` }, field.hint ?? ""));
}

function labelled(at, label, input, hint) {
  return h(
    "div",
    { class: "field" },
    h("label", { for: at }, label),
    input,
    h("small", { class: "soft" }, hint ?? ""),
    h("small", { class: "wrong", id: `${at}-wrong` }),
  );
}

// What a field is when it is left empty.
function showDefaults(form, preset) {
  form.querySelector("#summary").textContent = preset.summary;
  for (const { at } of FIELDS) {
    const input = form.elements[at];
    const value = at.startsWith("spec/")
      ? at
          .slice(5)
          .split("/")
          .reduce((part, name) => part?.[name], preset.defaults)
      : undefined;
    if (value === undefined) continue;
    if (input.tagName === "SELECT") input.options[0].textContent = `${value} (preset)`;
    else input.placeholder = Array.isArray(value) ? value.join(", ") : String(value);
  }
}

async function submit(form, context) {
  clearRefusal(form);
  const wrong = unreadable(form);
  if (wrong.length) return showRefusal(form, wrong);
  const button = form.querySelector("button[type=submit]");
  button.disabled = true; // one press, one job
  try {
    const { body } = await answerTo(`v1/${form.elements.kind.value}`, { method: "POST", body: orderOf(form) });
    if (context.isShown()) location.hash = `#/jobs/${path(body.job_id)}`;
  } catch (error) {
    if (!(error instanceof Refused) || error.status >= 500) throw error;
    showRefusal(form, error.problem.errors ?? [{ pointer: "", detail: error.message }]);
  } finally {
    button.disabled = false;
  }
}

// What was typed but means nothing would be left out of the order without a word.
function unreadable(form) {
  return FIELDS.flatMap(({ at, read }) => {
    const { value, validity } = form.elements[at];
    if (validity.badInput) return [{ pointer: `/${at}`, detail: "This is not readable." }];
    if (read !== jsonObject || !value.trim() || read(value)) return [];
    return [{ pointer: `/${at}`, detail: "This is no JSON object." }];
  });
}

function orderOf(form) {
  const order = { preset: form.elements.preset.value };
  for (const { at, read = (text) => text } of FIELDS) {
    const text = form.elements[at].value.trim();
    if (!text) continue;
    const names = at.split("/");
    const part = names.slice(0, -1).reduce((inside, name) => (inside[name] ??= {}), order);
    const value = read(text);
    part[names.at(-1)] = at === "spec" ? { ...part.spec, ...value } : value;
  }
  if (form.elements.kind.value === "backtest") delete order.promote;
  return order;
}

function clearRefusal(form) {
  form.querySelector("#refusal").replaceChildren();
  for (const input of form.elements) input.removeAttribute("aria-invalid");
  for (const wrong of form.querySelectorAll(".wrong")) wrong.textContent = "";
}

// Each error stands at its field; what has none stands above them all.
function showRefusal(form, errors) {
  const elsewhere = [];
  const names = [...FIELDS.map((field) => field.at), "preset"]; // "spec" is behind all its parts
  let first;
  for (const { detail, pointer } of errors) {
    const at = names.find((name) => `${pointer}/`.startsWith(`/${name}/`));
    if (!at) {
      elsewhere.push(pointer ? `${pointer}: ${detail}` : detail);
      continue;
    }
    const input = form.elements[at];
    input.setAttribute("aria-invalid", "true");
    document.getElementById(`${at}-wrong`).textContent = detail;
    input.closest("details")?.setAttribute("open", "");
    first ??= input;
  }
  form.querySelector("#refusal").append(...elsewhere.map((line) => h("p", { class: "wrong" }, line)));
  first?.focus();
  say("The order was refused.");
}

function jsonObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function words(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}
