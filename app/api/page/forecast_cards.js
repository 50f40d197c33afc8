// What a forecast says, how far to believe it, and where it comes from.

import { card, facts, h, table } from "./dom.js";
import {
  chance,
  inWords,
  moment,
  NONE,
  percent,
  price,
  sessionInWords,
  signClass,
  signed,
  upcoming,
} from "./format.js";

export function answerCard(forecast, isPast) {
  const step = forecast.steps[0];
  const unit = forecast.currency ? ` ${forecast.currency}` : "";
  const about = forecast.calendar.approximate ? " (about: the exchange's calendar is not known)" : "";
  const between = ({ level, lower, upper }) => [`${level} % between`, `${price(lower)} and ${price(upper)}`];
  return card(
    isPast ? `The ${inWords(step.field)} of a session that is over` : `Next ${inWords(step.field)}`,
    h(
      "p",
      { class: "soft" },
      `${sessionInWords(step.target_session)}, known ${isPast ? "since" : "at"} ${moment(step.target_close_at)}${about}`,
    ),
    h(
      "p",
      { class: "big" },
      `${price(step.point)}${unit} `,
      h("small", { class: signClass(step.expected_return) }, signed(step.expected_return)),
    ),
    facts([
      ...step.intervals.map(between),
      ["P(up)", percent(step.prob_up)],
      ["Volatility", `${percent(step.volatility, 2)} to that session`],
      [`Last ${inWords(step.field)}`, `${price(step.last_value)}${unit} on ${forecast.as_of_session}`],
    ]),
  );
}

export function beliefCard(forecast) {
  const { skill, model, diagnostics } = forecast;
  const reasons = [...new Set([forecast.state, ...forecast.reasons])];
  const who =
    model.version === null ? `the baseline ${model.architecture}` : `version ${model.version} (${model.architecture})`;
  const doubts = diagnostics.inputs_out_of_range.map((name) => `${name} leaves what the version has learnt from`);
  const state = h("span", { class: `state ${forecast.state}` }, forecast.state);
  return card(
    "Does it deserve belief?",
    h("p", {}, state, ` ${reasons.map(inWords).join("; ")}. By ${who}${model.alias ? `, ${model.alias}` : ""}.`),
    facts([
      ["Point, against the last close", pointInWords(skill, model)],
      ["Spread, against EWMA-t", spreadInWords(skill, model)],
      ...forecast.calibration.map(heldInWords),
      diagnostics.seed_spread !== null && [
        "Averaged networks are apart by",
        `${percent(diagnostics.seed_spread)} of the volatility`,
      ],
      doubts.length > 0 && ["Doubts", doubts.join("; ")],
    ]),
    h(
      "p",
      { class: "soft" },
      "EWMA-t is the last close with as much spread as there was lately. ",
      "The spread is scored by the CRPS, a loss of the whole distribution; above 0 is better.",
    ),
  );
}

function pointInWords({ value, ci95, n }, { version }) {
  if (version === null || !n || value === null) return "not measured: it is the last close";
  const isLuck = !ci95 || (ci95[0] <= 0 && ci95[1] >= 0);
  const verdict = isLuck ? "no difference beyond luck" : value > 0 ? "better" : "worse";
  const range = ci95 ? ` (95 %: ${signed(ci95[0])} to ${signed(ci95[1])})` : "";
  return [h("strong", { class: isLuck ? "" : signClass(value) }, signed(value)), `${range}, ${n} sessions: ${verdict}`];
}

function spreadInWords({ crps, dm_p }, { version }) {
  if (version === null || crps === null) return "not measured: it is EWMA-t";
  const verdict = crps > 0 && dm_p !== null && dm_p < 0.05 ? "better" : crps > 0 ? "not proven better" : "not better";
  return [h("strong", { class: verdict === "better" ? "plus" : "" }, signed(crps)), `, ${chance(dm_p)}: ${verdict}`];
}

function heldInWords({ level, origin, empirical, n }) {
  return [`${level} % band held, ${origin}`, n ? `${percent(empirical)} of ${n} sessions, as displayed` : NONE];
}

export function stepsCard(forecast) {
  const isOfMany = forecast.targets.length > 1;
  const columns = [
    ["Session"],
    ["Step", "number"],
    ["Median", "number"],
    ["80 % band", "number"],
    ["95 % band", "number"],
    ["P(up)", "number"],
  ];
  const rows = forecast.steps.map((step) => [
    sessionInWords(step.target_session),
    isOfMany ? `${step.step}, ${inWords(step.field)}` : step.step,
    price(step.point),
    ...step.intervals.map(({ lower, upper }) => `${price(lower)} to ${price(upper)}`),
    percent(step.prob_up),
  ]);
  const all = table(`Steps of the forecast of ${forecast.ticker}`, columns, rows);
  const isLong = rows.length > 10;
  return card(
    "The coming sessions",
    isLong ? h("details", {}, h("summary", {}, `All ${rows.length} steps`), all) : all,
  );
}

export function provenanceCard(forecast, version) {
  const { provenance, model, calendar } = forecast;
  const code = (text) => h("code", {}, text);
  const known = { snapshot_id: "Bars", source: "Source", price_basis: "Price basis", code_version: "Code" };
  const rest = Object.entries(provenance).map(([name, value]) => [
    known[name] ?? inWords(name),
    code(typeof value === "object" ? JSON.stringify(value) : String(value)),
  ]);
  const isBy = model.version !== null && version?.libraries;
  return card(
    "Where it comes from",
    facts([
      ["Forecast", code(forecast.forecast_id)],
      ["Issued", `${moment(forecast.issued_at)} (${forecast.origin}), edition ${forecast.edition ?? NONE}`],
      ["Bars up to", forecast.as_of_session],
      model.trained_through && ["Trained through", model.trained_through],
      ["Exchange", `${calendar.exchange}${calendar.approximate ? ", calendar not known" : ""}`],
      ["Next update", upcoming(forecast.next_update_at)],
      ...rest,
      isBy && [
        "Version made by",
        `${version.submitted_by}, with ${Object.entries(version.libraries)
          .map((pair) => pair.join(" "))
          .join(", ")}`,
      ],
      isBy && ["Its files", code(version.manifest_sha256)],
    ]),
  );
}
