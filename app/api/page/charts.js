// Charts by plotly.js, loaded when the first one is seen, in the colours of the page.

import { h } from "./dom.js";

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d", "autoScale2d"],
};
const NAMES = ["ink", "soft", "line", "ground", "link", "band-80", "band-95"];

const drawings = new Map(); // of each chart that was seen, how it is drawn
let plotly;

// Draws `tracesOf(colours)` into a figure; the caption says in words what it shows.
export function chart(caption, tracesOf, layout = {}, height = 320) {
  const at = h("div", { class: "chart", style: `height: ${height}px` });
  whenSeen(at, () => draw(at, tracesOf, layout));
  return h("figure", {}, at, h("figcaption", { class: "soft" }, caption));
}

// The area between two lines over the same sessions.
export function band(x, lower, upper, colour, name, more = {}) {
  const edge = { x, mode: "lines", line: { width: 0, color: colour }, hoverinfo: "skip", legendgroup: name, ...more };
  return [
    { ...edge, y: lower, showlegend: false },
    { ...edge, y: upper, fill: "tonexty", fillcolor: colour, name },
  ];
}

// A chart that nobody has scrolled to costs nothing.
function whenSeen(at, drawIt) {
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    forgetOld();
    drawings.set(at, drawIt);
    drawIt();
  });
  seen.observe(at);
}

// plotly listens to the window for each chart: for those that are gone, until it is told.
function forgetOld() {
  for (const at of drawings.keys()) {
    if (at.isConnected) continue;
    window.Plotly?.purge(at);
    drawings.delete(at);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetOld();
  for (const drawIt of drawings.values()) drawIt();
});

async function draw(at, tracesOf, layout) {
  const colours = coloursOf(at);
  try {
    const library = await loaded();
    if (at.isConnected) await library.react(at, tracesOf(colours), layoutOf(layout, colours), CONFIG);
  } catch (error) {
    console.error(error);
    at.replaceChildren(h("p", { class: "wrong" }, `The chart could not be drawn: ${error.message}`));
  }
}

function loaded() {
  plotly ??= new Promise((resolve, reject) => {
    const fail = () => {
      plotly = undefined; // the next chart tries again
      reject(new Error("plotly.min.js could not be loaded"));
    };
    document.head.append(
      h("script", { src: "page/plotly.min.js", onload: () => resolve(window.Plotly), onerror: fail }),
    );
  });
  return plotly;
}

// The computed colour of a property: what it holds itself may be a pair for light and dark.
function coloursOf(at) {
  const probe = h("span", { hidden: true });
  at.append(probe);
  const colours = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

function layoutOf({ xaxis, yaxis, ...layout }, colours) {
  const lines = { gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line, automargin: true };
  return {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: colours.ink, family: "system-ui, sans-serif", size: 12 },
    margin: { l: 56, r: 12, t: 8, b: 40 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.ground, bordercolor: colours.line, font: { color: colours.ink } },
    xaxis: { ...lines, ...xaxis },
    yaxis: { ...lines, ...yaxis },
    ...layout,
  };
}
