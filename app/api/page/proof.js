// What a version showed out of sample: beside its rivals, in its bands, while it learnt.

import { ask, orRefusal } from "./api.js";
import { band, chart } from "./charts.js";
import { card, h, table } from "./dom.js";
import { chance, inWords, number, percent, signClass, signed } from "./format.js";

const NAMES = {
  model: "this model",
  persistence: "persistence (last close)",
  ewma_t: "EWMA-t",
  drift: "drift",
  moving_average: "moving average",
  garch_t: "GARCH(1,1)-t",
  gjr_t: "GJR-GARCH-t",
  har_range_t: "HAR of ranges",
};

// Whatever is wrong with its files: the forecast stands, and so does the way to another version.
export async function readProof(at, version) {
  const parts = ["scorecard", "predictions", "curves"].map((name) =>
    orRefusal(ask(`v1/models/${at}/versions/${version}/${name}`), () => true),
  );
  const [scorecard, predictions, curves] = await Promise.all(parts);
  return { scorecard, predictions, curves };
}

export function proofCards({ scorecard, predictions, curves }, version, answers) {
  const field = inWords(version.target?.field ?? "close");
  return [
    orWhy("Scorecard", scorecard, () => scorecardCard(scorecard, version, answers)),
    h(
      "div",
      { class: "cards two" },
      orWhy("Calibration", predictions, () => bandsCard(predictions, field)),
      orWhy("Learning", curves, () => lossesCard(curves)),
    ),
    predictions.refusal
      ? null
      : h("div", { class: "cards two" }, truthCard(predictions, field), returnsCard(predictions, field)),
  ];
}

function orWhy(title, part, draw) {
  return part.refusal ? card(title, h("p", {}, part.refusal)) : draw();
}

const COLUMNS = [
  ["Contestant"],
  ["RMSE ratio", "number"],
  ["CRPS × 1000", "number"],
  ["Model's CRPS gain", "number"],
  ["p", "number"],
  ["80 % held", "number"],
  ["95 % held", "number"],
  ["QLIKE", "number"],
  ["May be best"],
];

function scorecardCard(scorecard, version, answers) {
  const { protocol, skill } = scorecard;
  const rows = Object.entries(scorecard.contestants).map(([name, scored]) => contestant(name, scored, scorecard));
  const span = protocol.first_session ? `, ${protocol.first_session} to ${protocol.last_session}` : "";
  const verdict = scorecard.reasons.length
    ? `When it was trained it had not earned the champion alias: ${scorecard.reasons.map(inWords).join(", ")}.`
    : "When it was trained it had earned the champion alias.";
  const who = answers ? `version ${scorecard.version}` : `version ${scorecard.version}, which does not answer`;
  return card(
    "Scorecard",
    h("p", {}, `Of ${who}: ${protocol.sessions ?? skill.n} sessions that it had not seen${span}. ${verdict}`),
    table("Every contestant on the same sessions", COLUMNS, rows),
    h(
      "p",
      { class: "soft" },
      "RMSE ratio is against persistence: below 1 is better. CRPS and QLIKE are losses: lower is better. p is how likely the gain is by luck ",
      "(Diebold-Mariano). “Held” is before the bands are corrected for display. “May be best” is the 90 % confidence set.",
    ),
  );
}

function contestant(name, scored, { tests, confidence_set: best }) {
  const test = tests[name];
  return [
    NAMES[name] ?? inWords(name),
    number(scored.rmse_ratio, 4),
    number(scored.crps === null ? null : scored.crps * 1000, 3),
    test ? h("span", { class: signClass(test.crps_gain) }, signed(test.crps_gain)) : "",
    test ? chance(test.dm_p).replace("p = ", "").replace("p ", "") : "",
    percent(scored.coverage_80),
    percent(scored.coverage_95),
    number(scored.qlike_squared, 3),
    best ? (best.included.includes(name) ? "yes" : "no") : "",
  ];
}

function bandsCard(predictions, field) {
  const foretold = Array.from({ length: 101 }, (_, k) => k / 100);
  const came = [...predictions.pit].filter((p) => p !== null).sort((a, b) => a - b);
  const caption =
    `Of ${came.length} sessions out of sample, the share that ended below each foretold quantile of the ${field}. ` +
    "On the diagonal the spread is right; bands are corrected for what is off it before they are displayed.";
  const lines = (colours) => [
    { x: [0, 1], y: [0, 1], mode: "lines", name: "ideal", line: { color: colours.soft, dash: "dot" } },
    {
      x: foretold,
      y: foretold.map((p) => shareBelow(came, p)),
      mode: "lines",
      name: "observed",
      line: { color: colours.link, width: 2 },
    },
  ];
  const layout = {
    xaxis: { title: { text: "foretold probability" }, range: [0, 1] },
    yaxis: { title: { text: "share observed" }, range: [0, 1] },
  };
  return card("Calibration", chart(caption, lines, layout));
}

function shareBelow(ascending, p) {
  let [from, to] = [0, ascending.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    ascending[middle] <= p ? (from = middle + 1) : (to = middle);
  }
  return ascending.length ? from / ascending.length : null;
}

function lossesCard(curves) {
  const members = curves.members?.length ? curves.members : [curves];
  const named = (member, what) => (members.length > 1 ? `${what}, ${member.architecture} ${member.seed}` : what);
  const kept = curves.best_epoch
    ? `the weights of epoch ${curves.best_epoch} were kept`
    : "no epoch was better than the start, whose weights were kept";
  const caption = `Loss in training and on the newest part that was kept back, an epoch each; ${kept}.`;
  const lines = (colours) =>
    members.flatMap((member, at) => [
      {
        x: member.epoch,
        y: member.loss,
        mode: "lines",
        name: named(member, "training"),
        line: { color: colours.soft },
        showlegend: at < 3,
      },
      {
        x: member.epoch,
        y: member.val_loss,
        mode: "lines+markers",
        name: named(member, "validation"),
        line: { color: colours.link },
        marker: { size: 4 },
        showlegend: at < 3,
      },
    ]);
  return card(
    "Learning",
    chart(caption, lines, {
      xaxis: { title: { text: "epoch" }, rangemode: "tozero" },
      yaxis: { title: { text: "loss" } },
    }),
  );
}

function truthCard(predictions, field) {
  const last = predictions.session.slice(-250);
  const of = (name) => predictions[name].slice(-250);
  const caption =
    `The ${field}, true and predicted a session ahead, out of sample, ${last[0] ?? "–"} to ${last.at(-1) ?? "–"}. ` +
    "The prediction follows the last value by a day: that is what a median of tomorrow looks like.";
  const lines = (colours) => [
    ...band(last, of("lower_95"), of("upper_95"), colours["band-95"], "95 % band"),
    ...band(last, of("lower_80"), of("upper_80"), colours["band-80"], "80 % band"),
    { x: last, y: of("actual"), mode: "lines", name: "true", line: { color: colours.ink, width: 1.5 } },
    { x: last, y: of("predicted"), mode: "lines", name: "predicted", line: { color: colours.link, width: 1.5 } },
  ];
  return card("True against predicted", chart(caption, lines, { xaxis: { type: "date" } }));
}

function returnsCard(predictions, field) {
  const { last_value: last } = predictions;
  const moved = (name) =>
    predictions[name].map((value, at) => (value === null || !last[at] ? null : (value / last[at] - 1) * 100));
  const caption = `The same as returns of the ${field}: who could foretell the direction would show a slope here.`;
  const hover = "%{text}: predicted %{x:.2f} %, came %{y:.2f} %<extra></extra>";
  const marker = (colours) => ({ size: 4, color: colours.link, opacity: 0.6 });
  const dots = (colours) => [
    {
      x: moved("predicted"),
      y: moved("actual"),
      text: predictions.session,
      mode: "markers",
      marker: marker(colours),
      hovertemplate: hover,
    },
  ];
  const layout = {
    hovermode: "closest",
    xaxis: { title: { text: "predicted return, %" } },
    yaxis: { title: { text: "true return, %" } },
  };
  return card("Direction", chart(caption, dots, layout));
}
