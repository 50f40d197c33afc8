// The versions of a ticker, and moving its champion.

import { answerTo, path, Refused } from "./api.js";
import { ask as confirm, card, h, notice, say, table } from "./dom.js";
import { inWords, moment, signed } from "./format.js";

const COLUMNS = [
  ["Version"],
  ["Network"],
  ["Trained through"],
  ["Skill: point", "number"],
  ["Spread"],
  ["Aliases"],
  ["Why not champion, when trained", "long"],
  ["Made"],
  ["Actions"],
];

export function versionsCard(ticker, models, reload) {
  const rows = models.items.map((row) => [
    [h("a", { href: `#/tickers/${path(ticker)}?model=${row.version}` }, String(row.version)), damage(row)],
    `${row.architecture}${row.preset ? `, ${row.preset}` : ""}`,
    row.trained_through,
    signed(row.metrics.skill),
    row.metrics.beats_baseline ? "proven better" : "not proven",
    row.aliases.join(", "),
    row.reasons.map(inWords).join(", "),
    row.created_at.slice(0, 10),
    row.aliases.includes("champion") ? "" : promoteButton(ticker, row.version, reload),
  ]);
  const hasChampion = "champion" in models.aliases;
  const canRollBack = hasChampion && models.items.length > 1;
  const rollback = h(
    "button",
    { type: "button", id: "roll-back", onclick: () => rollBack(ticker, reload) },
    "Roll the champion back",
  );
  const more = h("p", {}, h("a", { href: `v1/models/${path(ticker)}` }, "All versions, as JSON"));
  return card(
    "Versions",
    table(`Versions of ${ticker}, newest first`, COLUMNS, rows, { class: "stacked" }),
    h(
      "p",
      { class: "actions" },
      canRollBack ? rollback : hasChampion ? "" : "No version is champion, so a baseline answers.",
    ),
    models.next_page_token ? more : null,
  );
}

function damage(row) {
  const found = { class: "state degraded", title: row.damaged_at && `found ${moment(row.damaged_at)}` };
  return row.damaged_at && [" ", h("span", found, "files damaged")];
}

function promoteButton(ticker, version, reload) {
  const attributes = { type: "button", id: `promote-${version}`, onclick: () => promote(ticker, version, reload) };
  return h("button", attributes, `Promote ${version}`);
}

async function promote(ticker, version, reload) {
  const what = "Whoever asks for a forecast is answered by it from then on, whether it has earned that or not.";
  const reason = await confirm(`Make version ${version} champion of ${ticker}?`, what, {
    action: "Promote",
    label: "Why",
  });
  if (reason === null) return;
  await change(async () => {
    const at = `v1/models/${path(ticker)}/aliases/champion`;
    await answerTo(at, { method: "PUT", body: { version, reason }, headers: await precondition(at) });
    say(`Version ${version} is champion now.`);
  }, reload);
}

async function rollBack(ticker, reload) {
  const answer = await confirm(
    `Roll back the champion of ${ticker}?`,
    "The version that was champion before it answers again.",
    {
      action: "Roll back",
    },
  );
  if (answer === null) return;
  await change(async () => {
    const { body } = await answerTo(`v1/models/${path(ticker)}/aliases/champion/rollback`, { method: "POST" });
    say(`Version ${body.version} is champion again.`);
  }, reload);
}

// What the alias was when it was looked at: somebody else's change in between is refused.
async function precondition(at) {
  try {
    return { "If-Match": (await answerTo(at)).etag };
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return { "If-None-Match": "*" };
    throw error;
  }
}

async function change(work, reload) {
  try {
    await work();
  } catch (error) {
    await notice("That was refused", error.message);
  }
  await reload();
}
