// What the service is asked, and how its refusals are read.

import { askForKey, keyHeaders } from "./key.js";

export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.problem = problem;
    this.status = status;
  }
}

// Nobody answered at all.
export class Unreachable extends Error {}

export const path = (name) => encodeURIComponent(name);

export async function ask(address, options = {}) {
  return (await answerTo(address, options)).body;
}

// "no-cache": a forecast may be kept for a minute, but who looks at the page after a change wants to see it.
export async function answerTo(address, { method = "GET", body, headers = {} } = {}) {
  const sent =
    body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } };
  const send = () => exchange(address, { method, cache: "no-cache", headers, ...sent });
  let [answer, text, key] = await send();
  while (answer.status === 401 && (await askForKey(key))) [answer, text, key] = await send();
  const found = parsed(text);
  if (!answer.ok) throw new Refused(found || {}, answer.status);
  if (found === undefined && text)
    throw new Refused({ detail: "The answer was no JSON; is something between here and the service?" }, answer.status);
  return { body: found, etag: answer.headers.get("etag") };
}

// Returns the answer, its text, and the key's headers that it was asked with.
async function exchange(address, options) {
  const key = keyHeaders();
  try {
    const answer = await fetch(address, { ...options, headers: { ...options.headers, ...key } });
    return [answer, await answer.text(), key];
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// An answer, or as `refusal` why there is none: what a view can do without does not take the rest away.
export async function orRefusal(asked, isBearable = (error) => error.status < 500) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refused && isBearable(error)) return { refusal: error.message };
    throw error;
  }
}

export async function everyTicker() {
  const names = [];
  let page;
  for (let token = ""; token !== undefined; token = page.next_page_token) {
    page = await ask(`v1/models?page_size=100${token && `&page_token=${path(token)}`}`);
    names.push(...page.items.map((row) => row.ticker));
  }
  return names;
}

// Columns of equal length as one object a row.
export function rowsOf(columns) {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  return Array.from({ length: count }, (_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
}
