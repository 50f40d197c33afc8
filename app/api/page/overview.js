// Every ticker: what is forecast, how sure that is, and whether it deserves belief.

import { ask, path, rowsOf } from "./api.js";
import { bandPicture, scaleOf } from "./bands.js";
import { h, keepingFocus, say } from "./dom.js";
import { chance, days, inWords, NONE, percent, price, signed, today, upcoming } from "./format.js";
import { noModels } from "./welcome.js";

const AT_ONCE = 80; // rows that are drawn before the rest: more than any screen shows
const STATES = ["", "fresh", "baseline", "stale", "degraded", "problem"];

const soft = (text) => h("span", { class: "soft" }, text);

// Of each column: its heading, what it is sorted by and how it is shown.
const COLUMNS = [
  { key: "ticker", label: "Ticker", sort: (row) => row.ticker, show: tickerCell },
  { key: "state", label: "State", sort: (row) => row.state, show: stateCell },
  { key: "last", label: "Last close", number: true, sort: (row) => row.last_close, show: lastCell },
  { key: "session", label: "Next session", sort: (row) => row.target_session, show: sessionCell },
  { key: "picture", label: "Forecast", sort: width, show: bandPicture },
  { key: "point", label: "Median", number: true, sort: (row) => row.expected_return, show: pointCell },
  {
    key: "band",
    label: "80 % band",
    number: true,
    sort: width,
    show: (row) => `${price(row.lower_80)} to ${price(row.upper_80)}`,
  },
  { key: "up", label: "P(up)", number: true, sort: (row) => row.prob_up, show: (row) => percent(row.prob_up) },
  {
    key: "skill",
    label: "Skill: point",
    number: true,
    sort: measured("skill"),
    show: (row) => signed(measured("skill")(row)),
  },
  { key: "spread", label: "Skill: spread", number: true, sort: measured("skill_crps"), show: spreadCell },
  { key: "live", label: "80 % held", number: true, sort: (row) => row.coverage_80_live, show: heldCell },
  { key: "model", label: "Model", sort: (row) => row.version, show: modelCell },
  { key: "age", label: "Age", number: true, sort: (row) => row.trained_through, show: ageCell },
];

const LEGEND = [
  [
    "Forecast",
    "The line is the last close, the dot the median, the bars are the 80 % and the 95 % band; one scale for all rows.",
  ],
  ["Skill: point", "Out of sample, 1 − RMSE / RMSE of “the last close again”: above 0 is better."],
  [
    "Skill: spread",
    "Out of sample, 1 − CRPS / CRPS of EWMA-t, the last close with as much spread as there was lately: above 0 is better. " +
      "“Proven” is beyond luck (Diebold-Mariano, p < 0.05), and the point no worse than the last close.",
  ],
  [
    "80 % held",
    "How often the displayed 80 % band held the close: live, of so many forecasts issued before their session opened; " +
      "until there are any, in the backtest.",
  ],
  [
    "State",
    "“Fresh” is about the bars, not about quality: the newest bar is that of the last session. " +
      "“Stale”: sessions have closed since; the bundled sample is history, and always stale.",
  ],
  ["Age", "Days since the newest bar that the version has learnt from."],
];

const order = { key: "ticker", down: false };
const chosen = { state: "", search: "" };

export async function show(place, _, context) {
  let known = { rows: [], edition: undefined };
  const draw = () => keepingFocus(place, () => drawTable(place, known, draw));
  let said = "";
  const load = async () => {
    known = await everyForecast();
    const before = said;
    said = JSON.stringify([known, today(), upcoming(known.next)]); // ages go by the day
    // What says the same stays as it is, with what the reader has marked in it.
    if (!context.isShown() || (said === before && known.rows.length)) return;
    if (!known.rows.length) return place.replaceChildren(...(await noModels()));
    if (!place.querySelector("#rows")) frame(place, draw);
    draw();
  };
  // What a job changes is a new edition; but where there is nothing yet, people wait for the first one.
  const concerns = ({ name, data }) => (name === "edition" ? data.edition !== known.edition : !known.rows.length);
  await context.keepFresh(load, concerns);
}

async function everyForecast() {
  const rows = [];
  let page;
  for (let token = ""; token !== undefined; token = page.next_page_token) {
    page = await ask(`v1/forecasts?format=columns&level=80,95${token && `&page_token=${path(token)}`}`);
    rows.push(...rowsOf(page.columns));
  }
  return { rows: firstOfEach(rows), edition: page.edition, next: page.next_update_at };
}

// A version of several targets has several rows; it is judged by the first.
function firstOfEach(rows) {
  const seen = new Set();
  return rows.filter((row) => !seen.has(row.ticker) && seen.add(row.ticker));
}

function frame(place, draw) {
  const head = COLUMNS.map(({ key, label, number }) =>
    h(
      "th",
      { scope: "col", class: number ? "number" : null, "data-key": key },
      h("button", { type: "button", id: `by-${key}`, onclick: () => sortBy(key, draw) }, label),
    ),
  );
  const caption = h("caption", { class: "unseen" }, "The next session of every ticker, prices in its own currency.");
  const table = h(
    "table",
    { class: "overview stacked" },
    caption,
    h("thead", {}, h("tr", {}, head)),
    h("tbody", { id: "rows" }),
  );
  const legend = LEGEND.map(([term, meaning]) => [h("dt", {}, term), h("dd", {}, meaning)]);
  place.replaceChildren(
    h("h1", {}, "Next closes"),
    h("p", { id: "summary", class: "soft" }),
    filters(draw),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Forecasts" }, table),
    h("details", {}, h("summary", {}, "What the columns mean"), h("dl", {}, legend)),
  );
}

function filters(draw) {
  const choose = (name) => (event) => {
    chosen[name] = event.target.value.trim();
    say(draw());
  };
  const search = { type: "search", id: "search", value: chosen.search, autocomplete: "off", spellcheck: "false" };
  const states = STATES.map((state) => h("option", { value: state, selected: state === chosen.state }, state || "all"));
  const sorts = COLUMNS.map(({ key, label }) => h("option", { value: key, selected: key === order.key }, label));
  const reverse = () => {
    order.down = !order.down;
    draw();
  };
  return h(
    "form",
    { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    h("label", {}, "Find ", h("input", { ...search, oninput: choose("search") })),
    h("label", {}, "State ", h("select", { id: "state", onchange: choose("state") }, states)),
    h(
      "label",
      { class: "narrow" },
      "Sort by ",
      h("select", { id: "sort", onchange: (event) => sortBy(event.target.value, draw) }, sorts),
    ),
    h("button", { class: "narrow", id: "reverse", type: "button", onclick: reverse }, "Reverse order"),
  );
}

// Returns in words what is shown.
function drawTable(place, known, draw) {
  const stateOf = (row) => (row.problem ? "problem" : row.state);
  const isWanted = (row) =>
    (!chosen.state || stateOf(row) === chosen.state) && row.ticker.includes(chosen.search.toUpperCase());
  const rows = sorted(known.rows.filter(isWanted));
  const scale = scaleOf(known.rows);
  markOrder(place);
  const body = place.querySelector("#rows");
  const mine = (body.drawing = {});
  const some = (from, to) => rows.slice(from, to).map((row) => rowOf(row, scale));
  const atOnce = history.state?.y ? rows.length : AT_ONCE; // who goes back to a place far down wants it to be there
  body.replaceChildren(...(rows.length ? some(0, atOnce) : [nothing(place, draw)]));
  const rest = () => body.drawing === mine && body.append(...some(atOnce));
  if (rows.length > atOnce) requestAnimationFrame(() => setTimeout(rest));
  place.querySelector("#summary").textContent = summary(known, rows.length);
  return `${rows.length} of ${known.rows.length} tickers`;
}

function nothing(place, draw) {
  const all = h("button", { type: "button", onclick: () => forget(place, draw) }, "Show all");
  return h("tr", {}, h("td", { colspan: COLUMNS.length, class: "problem" }, "No ticker is like that. ", all));
}

function rowOf(row, scale) {
  const head = h("th", { scope: "row" }, COLUMNS[0].show(row));
  if (row.problem)
    return h(
      "tr",
      {},
      head,
      h("td", { class: "problem", colspan: COLUMNS.length - 1 }, row.detail || inWords(row.problem)),
    );
  return h(
    "tr",
    {},
    head,
    COLUMNS.slice(1).map((column) =>
      h(
        "td",
        { "data-label": column.label, class: `${column.number ? "number" : ""} is-${column.key}` },
        column.show(row, scale),
      ),
    ),
  );
}

function tickerCell(row) {
  return h("a", { href: `#/tickers/${path(row.ticker)}` }, row.ticker);
}

function stateCell(row) {
  const others = row.reasons.filter((reason) => reason !== row.state);
  return h("span", { class: `state ${row.state}` }, [row.state, ...others].join(", "));
}

function lastCell(row) {
  return [price(row.last_close), row.currency && [" ", soft(row.currency)]];
}

function sessionCell(row) {
  return [row.target_session, row.approximate && " (about)"];
}

function pointCell(row) {
  return [row.field !== "close" && soft(`${inWords(row.field)} `), price(row.point)];
}

// A baseline is not measured against itself.
function measured(name) {
  return (row) => (row.version === null ? null : row[name]);
}

function spreadCell(row) {
  if (row.version === null) return NONE;
  const isProven = row.beats_baseline;
  const value = h("span", { class: isProven ? "plus" : "", title: chance(row.dm_p) }, signed(row.skill_crps));
  return [value, " ", soft(isProven ? "proven" : "not proven")];
}

// Until there is a live record, what held out of sample, and said to be that.
function heldCell(row) {
  if (row.coverage_80_live_n) return [percent(row.coverage_80_live), " ", soft(`of ${row.coverage_80_live_n}`)];
  if (row.coverage_80_backtest_n) return [percent(row.coverage_80_backtest), " ", soft("backtest")];
  return NONE;
}

function modelCell(row) {
  return row.version === null ? row.architecture : [`v${row.version} `, soft(row.architecture)];
}

function ageCell(row) {
  return row.trained_through ? h("span", { title: row.trained_through }, `${days(row.trained_through)} d`) : NONE;
}

function width(row) {
  return row.last_value ? (row.upper_80 - row.lower_80) / Math.abs(row.last_value) : null;
}

function sorted(rows) {
  const { sort } = COLUMNS.find((column) => column.key === order.key);
  const sign = order.down ? -1 : 1;
  const missing = (value) => value === null || value === undefined || value === "";
  return [...rows].sort((one, other) => {
    const [a, b] = [sort(one), sort(other)];
    if (missing(a) || missing(b)) return missing(a) - missing(b); // what is not known comes last either way
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b) || one.ticker.localeCompare(other.ticker);
  });
}

function sortBy(key, draw) {
  order.down = order.key === key && !order.down;
  order.key = key;
  draw();
}

function markOrder(place) {
  for (const head of place.querySelectorAll("th[data-key]")) {
    const isIt = head.dataset.key === order.key;
    isIt ? head.setAttribute("aria-sort", order.down ? "descending" : "ascending") : head.removeAttribute("aria-sort");
  }
}

function forget(place, draw) {
  Object.assign(chosen, { state: "", search: "" });
  for (const id of ["search", "state"]) place.querySelector(`#${id}`).value = "";
  draw();
}

function summary(known, count) {
  const states = Object.entries(Object.groupBy(known.rows, (row) => (row.problem ? "without a forecast" : row.state)));
  const parts = states.sort().map(([state, rows]) => `${rows.length} ${state}`);
  const named = `${count === known.rows.length ? count : `${count} of ${known.rows.length}`} ticker${known.rows.length === 1 ? "" : "s"}`;
  const proven = known.rows.filter((row) => row.beats_baseline).length;
  const forecast = `${proven} ${proven === 1 ? "is" : "are"} forecast by a version whose spread has proven better than the baseline's`;
  const next = known.next ? `, next update ${upcoming(known.next)}` : "";
  return `${named}: ${parts.join(", ")}. ${forecast}. Edition ${known.edition}${next}.`;
}
