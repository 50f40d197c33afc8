// Which tickers move together, and training one with the help of others.

import { ask, everyTicker, orRefusal, path } from "./api.js";
import { card, h, keepingFocus, say } from "./dom.js";
import { number } from "./format.js";

export async function show(place, { query }, context) {
  const of = query.get("of") === "prices" ? "prices" : "returns";
  const chosen = { ticker: query.get("ticker") ?? "", candidates: query.get("candidates") ?? "", of };
  const [found, known] = await Promise.all([
    chosen.ticker ? orRefusal(correlations(chosen)) : undefined,
    everyTicker(),
  ]);
  if (!context.isShown()) return;
  const peers = new Set();
  const result = h("div", {});
  const draw = () => keepingFocus(result, () => result.replaceChildren(...answer(found, chosen, peers, draw)));
  const what =
    "A network may read the bars of other tickers beside its own. " +
    "These move together on the sessions that a training would learn from.";
  place.replaceChildren(h("h1", {}, "Peers"), h("p", { class: "soft" }, what), form(chosen, known), result);
  if (found?.refusal) result.append(h("p", { class: "wrong", role: "alert" }, found.refusal));
  else if (found) draw();
}

function correlations({ ticker, candidates }) {
  const names = candidates
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(path)
    .join(",");
  return ask(`v1/tickers/${path(ticker.toUpperCase())}/peers?top=11${names && `&candidates=${names}`}`);
}

function form(chosen, known) {
  const submit = (event) => {
    event.preventDefault();
    const asked = new FormData(event.target);
    location.hash = `#/peers?${new URLSearchParams([...asked].filter(([, value]) => value))}`;
  };
  return h(
    "form",
    { class: "filters", onsubmit: submit },
    h(
      "label",
      {},
      "Ticker ",
      h("input", { name: "ticker", value: chosen.ticker, list: "known", required: true, size: 10 }),
    ),
    h(
      "label",
      {},
      "Candidates ",
      h("input", { name: "candidates", value: chosen.candidates, placeholder: "all whose bars are at hand", size: 28 }),
    ),
    h(
      "label",
      {},
      "Of ",
      h(
        "select",
        { name: "of" },
        ["returns", "prices"].map((of) => h("option", { value: of, selected: of === chosen.of }, of)),
      ),
    ),
    h(
      "datalist",
      { id: "known" },
      known.map((ticker) => h("option", { value: ticker })),
    ),
    h("button", { type: "submit", class: "main" }, "Compare"),
  );
}

function answer(found, chosen, peers, draw) {
  const span = `${found.sessions} sessions that all share, ${found.first_session} to ${found.last_session}, source ${found.source}`;
  const train = `#/train?${new URLSearchParams({ ticker: found.ticker, peers: [...peers].join(","), source: found.source })}`;
  return [
    card(
      `Correlation of ${chosen.of}`,
      h(
        "p",
        { class: "soft" },
        `${span}. Press a heading, or a cell below it, to choose that ticker as a peer of ${found.ticker}.`,
      ),
      heatMap(found, chosen.of, peers, draw),
      h(
        "p",
        { class: "actions" },
        peers.size
          ? h("a", { class: "button main", href: train }, `Train ${found.ticker} with ${[...peers].join(", ")}`)
          : h("span", { class: "soft" }, "No peer is chosen yet."),
      ),
    ),
  ];
}

// A table and not a drawing: it can be read out, and its headings are pressed by keyboard. The cells are for the mouse.
function heatMap(found, of, peers, draw) {
  const names = found.matrix.tickers;
  const choose = (name) => {
    peers.delete(name) || peers.add(name);
    say(peers.has(name) ? `${name} is chosen` : `${name} is no longer chosen`);
    draw();
  };
  const heading = (name) => {
    if (name === found.ticker) return h("th", { scope: "col" }, name);
    const attributes = {
      type: "button",
      id: `peer-${name}`,
      "aria-pressed": String(peers.has(name)),
      onclick: () => choose(name),
    };
    return h("th", { scope: "col" }, h("button", attributes, name));
  };
  const cell = (value, column) => {
    const name = names[column];
    const style = `--heat: ${Math.round(Math.abs(value) * 100)}%; --warm: var(--${value < 0 ? "bad" : "link"})`;
    const isOwn = name === found.ticker;
    return h(
      "td",
      { class: isOwn ? "heat" : "heat pressed", style, onclick: isOwn ? null : () => choose(name) },
      number(value, 2),
    );
  };
  const rows = found.matrix[of].map((values, row) =>
    h("tr", {}, h("th", { scope: "row" }, names[row]), values.map(cell)),
  );
  const caption = `Correlation of ${of}`;
  const table = h(
    "table",
    { class: "heat-map" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, h("td", {}), names.map(heading))),
    h("tbody", {}, rows),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}
