// Makes the pages quicker to use; every one of them works without this file.
"use strict";
document.documentElement.classList.add("js");

function closeOthers(event) {
  for (const open of document.querySelectorAll("details.pop[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
}
const busy = (on) => document.body.classList.toggle("busy", on);
addEventListener("pageshow", () => busy(false));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.defaultPrevented && event.button === 0;
  if (link && plain && link.origin === location.origin && !link.getAttribute("href").startsWith("#")) busy(true);
  closeOthers(event);
});
// Left by keys, it would stand in front of what has the focus next.
document.addEventListener("focusin", closeOthers);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.pop[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => { busy(true); form.submit(); });
}

// Questions that are still being counted: bars move, and the page comes again when the last one is done.
const counting = [...document.querySelectorAll("progress[data-question]")];
async function follow(bar) {
  const answer = await fetch(`/api/progress/${bar.dataset.question}?gone=204`).catch(() => null);
  if (answer === null || answer.status !== 200) return false;
  const { share, total_rows: rows } = await answer.json();
  if (rows || share) bar.value = Math.max(bar.value, share * 100);
  else bar.removeAttribute("value");
  return true;
}
async function followAll() {
  const running = await Promise.all(counting.map(follow));
  if (running.some(Boolean)) setTimeout(followAll, 700);
  else location.reload();
}
if (counting.length) setTimeout(followAll, 700);

// Dates on the chart: hover reads, dragging chooses a range.
function draw(figure) {
  const data = JSON.parse(figure.dataset.series);
  if (typeof uPlot === "undefined" || data.labels.length < 2) return;
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = (u, value, series, index) => {
    if (index === null || index === undefined) return "";
    return value === null || value === undefined ? "too few" : value.toLocaleString("en");
  };
  const series = [
    { label: "When", value: (u, v) => (v === null || v === undefined ? "" : data.shown[v]) },
    { label: data.metric, stroke: colour("--accent"), width: 2, fill: colour("--fill") + "80", value: text, points: { show: data.labels.length < 46 } },
  ];
  const values = [data.labels.map((_, index) => index), data.values];
  if (data.before.length) {
    series.push({ label: "before", stroke: colour("--soft"), dash: [4, 4], width: 1.5, value: text, points: { show: false } });
    values.push(data.before);
  }
  const bands = [];
  if (data.low) {
    for (const end of ["high", "low"]) {
      series.push({ label: `95 % ${end}`, stroke: colour("--accent") + "55", width: 1, value: text, points: { show: false } });
      values.push(data[end]);
    }
    bands.push({ series: [2, 3], fill: colour("--accent") + "22" });
    series[1].fill = undefined;
  }
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const room = figure.clientWidth < 500 ? 70 : 100;
  const options = {
    width: figure.clientWidth,
    height: figure.clientWidth < 500 ? 200 : 260,
    scales: { x: { time: false }, y: { range: (u, low, high) => [0, Math.max(1, high) * 1.08] } },
    series,
    bands,
    padding: [14, 36, 0, 0],
    axes: [
      { ...axis, grid: { show: false }, size: 34, space: room, incrs: [1, 2, 3, 5, 7, 10, 14, 20, 30, 60, 120, 240], values: (u, ticks) => ticks.map((index) => data.shown[index] ?? "") },
      { ...axis, size: 52, values: (u, ticks) => ticks.map((v) => (v >= 1000 ? `${v / 1000}k` : v)) },
    ],
    cursor: { drag: { x: true, y: false } },
    legend: { live: true },
    hooks: {
      draw: [(u) => {
        u.ctx.save();
        u.ctx.strokeStyle = colour("--bad");
        u.ctx.setLineDash([3, 4]);
        for (const index of data.marks ?? []) {
          const x = Math.round(u.valToPos(index, "x", true));
          u.ctx.beginPath();
          u.ctx.moveTo(x, u.bbox.top);
          u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
        }
        u.ctx.restore();
      }],
      setSelect: [(u) => {
        if (u.select.width < 8 || data.low || data.labels[0].length !== 10) return;
        const day = (x) => data.labels[Math.max(0, Math.min(data.labels.length - 1, Math.round(u.posToVal(x, "x"))))];
        const address = new URL(location.href);
        address.searchParams.delete("period");
        address.searchParams.set("from", day(u.select.left));
        address.searchParams.set("to", day(u.select.left + u.select.width));
        busy(true);
        location.assign(address);
      }],
    },
  };
  const still = [...figure.childNodes];
  figure.classList.add("live-chart");
  for (const node of still) node.remove();
  let plot = new uPlot(options, values, figure);
  addEventListener("beforeprint", () => { plot.destroy(); figure.classList.remove("live-chart"); figure.append(...still); }, { once: true });
  new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: options.height })).observe(figure);
}
addEventListener("DOMContentLoaded", () => document.querySelectorAll("figure[data-series]").forEach(draw));
