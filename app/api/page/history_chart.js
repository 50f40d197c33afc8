// Closes, what was forecast for them, and the fan of what comes.

import { rowsOf } from "./api.js";
import { band, chart } from "./charts.js";
import { card, h } from "./dom.js";
import { inWords, price } from "./format.js";

const MOST_MARKS = 12;
const EDGES = ["lower_80", "upper_80", "lower_95", "upper_95"];

export function historyCard(series, forecast) {
  const title = "History and what comes";
  if (series.refusal) return card(title, h("p", {}, series.refusal));
  const { bars, changes } = series;
  const issued = until(series.issued, bars.session.at(-1) ?? "");
  const ahead = aheadOf(series, forecast);
  const marks = changes.slice(-MOST_MARKS);
  const drawn = chart(
    captionOf(series, issued, forecast.steps, ahead),
    (colours) => [...past(issued, colours), ...closes(bars, colours), ...fan(ahead, colours)],
    {
      xaxis: { type: "date", range: rangeOf(bars, ahead) },
      yaxis: { title: { text: series.currency ?? "price" } },
      shapes: marks.map(lineAt),
      annotations: marks.map(nameAt),
    },
    420,
  );
  return card(title, drawn);
}

// Whether the session that a step is of has a bar already, or newer ones have.
export function isPast(series, step) {
  return !series.refusal && step.target_session <= (series.bars.session.at(-1) ?? "");
}

// What the forecast saw and its steps, of the close on the scale of the bars: a split may have come since. Nothing when
// the last of them is past, as for a version that nobody asks any more.
function aheadOf(series, { steps: all, as_of_session: session }) {
  const [{ field, last_value: last }] = all;
  const ofField = all.filter((step) => step.field === field);
  const steps = field === "close" ? rowsOf(series.ahead).slice(0, ofField.length) : ofField.map(flat);
  if (!steps.length || isPast(series, steps.at(-1))) return [];
  const seen = last * (steps[0].point / ofField[0].point);
  const edges = Object.fromEntries(EDGES.map((edge) => [edge, seen]));
  return [{ target_session: session, point: seen, ...edges }, ...steps];
}

function flat({ target_session, point, intervals: [narrow, wide] }) {
  const edges = { lower_80: narrow.lower, upper_80: narrow.upper, lower_95: wide.lower, upper_95: wide.upper };
  return { target_session, point, ...edges };
}

function captionOf({ ticker, bars }, issued, [{ field, target_session: newest }], ahead) {
  const count = issued.target_session.length;
  const earlier = count
    ? `${count} earlier forecast${count === 1 ? "" : "s"} with the bands as they were displayed`
    : "no earlier forecast yet";
  const last = bars.session.at(-1);
  const known = `${ticker}: closes up to ${last ?? "none"}, ${earlier}`;
  const next = ahead.find((step) => step.target_session > (last ?? ""));
  if (!next) return `${known}; nothing is ahead, the newest forecast was of ${newest}.`;
  const of =
    field === "close" ? "the next close" : `the next ${inWords(field)}, which is not the close that the line shows,`;
  const within = `80 % between ${price(next.lower_80)} and ${price(next.upper_80)}`;
  return `${known}, and ${of} at ${price(next.point)}, ${within}.`;
}

// What is still to come is the fan's.
function until(issued, last) {
  const count = issued.target_session.filter((session) => session <= last).length;
  return Object.fromEntries(Object.entries(issued).map(([name, values]) => [name, values.slice(0, count)]));
}

function closes(bars, colours) {
  return [{ x: bars.session, y: bars.close, name: "close", mode: "lines", line: { color: colours.ink, width: 1.5 } }];
}

function past(issued, colours) {
  const x = issued.target_session;
  if (!x.length) return [];
  const who = issued.version.map((version, at) => (version === null ? issued.architecture[at] : `v${version}`));
  const median = { mode: "markers", marker: { size: 4, color: colours.link }, hovertemplate: "%{y} by %{text}" };
  return [
    ...band(x, issued.lower_95, issued.upper_95, colours["band-95"], "95 % band", { legendgroup: "95" }),
    ...band(x, issued.lower_80, issued.upper_80, colours["band-80"], "80 % band", { legendgroup: "80" }),
    { x, y: issued.point, text: who, name: "forecast median", ...median },
  ];
}

// The fan opens at the last value: before the first step there is no doubt about it.
function fan(ahead, colours) {
  if (!ahead.length) return [];
  const of = (name) => ahead.map((step) => step[name]);
  const x = of("target_session");
  const shade = (level) =>
    band(x, of(`lower_${level}`), of(`upper_${level}`), colours[`band-${level}`], `${level} % ahead`, {
      legendgroup: level,
      showlegend: false,
    });
  const median = {
    mode: "lines+markers",
    line: { color: colours.link, width: 2 },
    marker: { size: ahead.length > 30 ? 2 : 6 },
  };
  return [...shade("95"), ...shade("80"), { x, y: of("point"), name: "next", ...median }];
}

// The newest sixty sessions at first; all of them are a drag away.
function rangeOf(bars, ahead) {
  const first = bars.session.at(-60) ?? bars.session[0];
  const end = Date.parse(`${ahead.at(-1)?.target_session ?? bars.session.at(-1)}T00:00:00Z`) + 3 * 86_400_000;
  return first && [first, new Date(end).toISOString().slice(0, 10)];
}

function lineAt({ session }) {
  return {
    type: "line",
    x0: session,
    x1: session,
    yref: "paper",
    y0: 0,
    y1: 1,
    line: { dash: "dot", width: 1, color: "gray" },
  };
}

function nameAt({ session, version }) {
  return {
    x: session,
    yref: "paper",
    y: 0,
    yanchor: "bottom",
    xanchor: "left",
    showarrow: false,
    text: version === null ? "none" : `v${version}`,
  };
}
