// How far a job is, in a line or in full.

import { path } from "./api.js";
import { h } from "./dom.js";
import { inWords, number, span } from "./format.js";

export const isOver = (job) => !["queued", "running"].includes(job.state);

// Where a stage begins and ends on the whole bar: the fits take longest. Of a universe the windows are fitted one after the other.
const STAGES = {
  train: { prices: [0, 0.02], dataset: [0.02, 0.02], fit: [0.02, 0.85], backtest: [0.85, 0.95], export: [0.95, 0.99] },
  universe: {
    prices: [0, 0.02],
    dataset: [0.02, 0.02],
    backtest: [0.02, 0.75],
    judge: [0.75, 0.8],
    fit: [0.8, 0.95],
    export: [0.95, 0.99],
  },
  backtest: { prices: [0, 0.02], backtest: [0.02, 0.99] },
  tune: { prices: [0, 0.02], tune: [0.02, 0.99] },
  refresh: { refresh: [0, 0.99] },
};

export function jobLine(job) {
  return h(
    "p",
    { class: "job-line" },
    h("a", { href: `#/jobs/${path(job.job_id)}` }, titleOf(job)),
    " ",
    bar(job),
    " ",
    h("span", { class: "soft" }, whereItIs(job)),
  );
}

export function titleOf(job) {
  return [inWords(job.kind), job.ticker ?? (job.kind === "refresh" ? "all tickers" : "many tickers")].join(" ");
}

export function bar(job) {
  if (isOver(job)) return h("span", { class: `state ${job.state}` }, job.state);
  const done = shareDone(job);
  return h("progress", {
    max: 1,
    value: done === undefined ? null : done.toFixed(3),
    "aria-label": `Progress of ${titleOf(job)}`,
  });
}

function shareDone(job) {
  if (job.state === "queued") return 0;
  const stage = STAGES[job.kind === "train" && !job.ticker ? "universe" : job.kind]?.[job.progress?.stage];
  return stage && stage[0] + (stage[1] - stage[0]) * (job.progress.fraction || 0);
}

export function whereItIs(job) {
  if (isOver(job)) return [why(job), tookOf(job), outcomeOf(job)].filter(Boolean).join(", ");
  const waiting = job.error ? "waits for its next attempt" : "waits for a worker";
  const now = job.state === "queued" ? waiting : stageInWords(job);
  if (!job.error) return now;
  // The error of an earlier attempt stays until the job is over.
  const ended = job.state === "queued" ? job.attempt : job.attempt - 1;
  return `${now}; attempt ${ended} ended: ${why(job)}`;
}

// It goes on behind it.
function why({ error }) {
  return error?.detail.replace(/\.$/, "");
}

function outcomeOf({ kind, result }) {
  if (kind === "refresh" && result?.failed.length) return `${result.failed.length} failed`;
  if (kind !== "train" || result?.version === undefined) return "";
  return `version ${result.version}, ${result.promoted ? "champion now" : "not champion"}`;
}

function stageInWords({ progress, attempt, max_attempts: most, cancel_requested: isCancelled }) {
  if (isCancelled) return "is asked to stop";
  if (!progress) return "starts";
  const parts = [progress.stage === "paths" ? "simulates paths" : progress.stage];
  if (progress.fraction) parts.push(`${Math.round(progress.fraction * 100)} %`);
  if (progress.trial) parts.push(`trial ${progress.trial} of ${progress.trials}`);
  if (typeof progress.loss === "number") parts.push(`loss ${number(progress.loss, 4)}`);
  if (progress.eta_seconds) parts.push(`at most about ${span(progress.eta_seconds)} left`);
  if (attempt > 1) parts.push(`attempt ${attempt} of ${most}`);
  return parts.join(", ");
}

export function tookOf(job) {
  if (!job.started_at || !job.finished_at) return "";
  return `took ${span((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`;
}
