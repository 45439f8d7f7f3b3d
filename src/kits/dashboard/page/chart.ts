// One chart: a LinePlot on a canvas, with the newest values, or those under the pointer, in its legend.

import uPlot from "uplot";
import { dashes, palette, type LinePlot, type Series } from "../../linePlot.ts";

const HEIGHT = 190;

export interface Chart {
  readonly element: HTMLElement;
  /** Shows other values of the same plot. */
  update(plot: LinePlot): void;
  destroy(): void;
}

/** A chart in an element of its own. Charts with one `group` show the same place under the pointer. */
export function chart(first: LinePlot, group: string): Chart {
  const element = document.createElement("div");
  element.className = "chart";
  const title = element.appendChild(document.createElement("h3"));
  const legend = element.appendChild(document.createElement("div"));
  legend.className = "legend";
  let plot = first;
  let drawn: uPlot | null = null;
  let shape = "";
  const draw = (): void => {
    const width = element.clientWidth - 20;
    if (width <= 0) return;
    drawn?.destroy();
    shape = shapeOf(plot);
    title.textContent = plot.title;
    drawn = new uPlot(optionsOf(plot, width, group, showLegend), aligned(plot.series), element);
    showLegend(drawn);
  };
  const showLegend = (shown: uPlot): void => {
    const at = shown.cursor.idx ?? null;
    legend.replaceChildren(
      ...plot.series.map((one, k) => {
        const { stroke, dash } = strokeOf(plot, one);
        const item = document.createElement("span");
        const line = item.appendChild(document.createElement("i"));
        line.style.borderTopColor = stroke;
        if (dash) line.style.borderTopStyle = dash[0] > 2 ? "dashed" : "dotted";
        item.append(nameOf(one), " ");
        const values = Array.from(shown.data[k + 1]);
        const value = at === null ? values.findLast((v) => v !== null) : values[at];
        item.appendChild(document.createElement("b")).textContent =
          typeof value === "number" ? String(Number(value.toPrecision(4))) : "";
        return item;
      }),
    );
  };
  const resized = new ResizeObserver(() => {
    if (!drawn) draw();
    else if (element.clientWidth > 20) drawn.setSize({ width: element.clientWidth - 20, height: HEIGHT });
  });
  resized.observe(element);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw);
  return {
    element,
    update: (next) => {
      plot = next;
      if (!drawn || shapeOf(next) !== shape) return draw();
      drawn.setData(aligned(next.series));
      showLegend(drawn);
    },
    destroy: () => {
      resized.disconnect();
      scheme.removeEventListener("change", draw);
      drawn?.destroy();
    },
  };
}

const nameOf = ({ color, style }: Series): string => (style ? `${color} ${style}` : color);

/** All of a plot but its values. */
const shapeOf = ({ series, ...rest }: LinePlot): string => JSON.stringify([rest, series.map(nameOf)]);

/** Colours and dashes in the order in which their names come, as in the report. */
function strokeOf({ series }: LinePlot, { color, style = "" }: Series): { stroke: string; dash?: number[] } {
  const colors = [...new Set(series.map((one) => one.color))];
  const styles = [...new Set(series.map((one) => one.style ?? ""))];
  const kind = styles.indexOf(style) % dashes.length;
  const stroke = palette[colors.indexOf(color) % palette.length];
  return kind === 0 ? { stroke } : { stroke, dash: dashes[kind] };
}

/** Places of all series, and the values of each there; null where it has none. */
function aligned(series: readonly Series[]): uPlot.AlignedData {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const columns = series.map(({ points }) => {
    const values = new Map(points.map(({ x, y }) => [x, y]));
    return xs.map((x) => values.get(x) ?? null);
  });
  return [xs, ...columns];
}

function optionsOf(plot: LinePlot, width: number, group: string, moved: (shown: uPlot) => void): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const [soft, line] = ["--soft", "--line"].map((name) => css.getPropertyValue(name).trim());
  const font = "11px system-ui, sans-serif";
  const axis: uPlot.Axis = {
    ...{ stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } },
  };
  const { range, level, mark } = plot;
  return {
    ...{ width, height: HEIGHT, legend: { show: false }, padding: [8, 8, 0, 0] },
    cursor: { sync: { key: group }, points: { size: 6 }, drag: { x: true, y: false } },
    scales: {
      x: { time: false, range: (_, low, high) => (low < high ? [low, high] : [low - 1, high + 1]) },
      y: range
        ? { range: [...range] as [number, number] }
        : {
            range: (_, low, high) =>
              uPlot.rangeNum(Math.min(low, level ?? low), Math.max(high, level ?? high), 0.1, true),
          },
    },
    axes: [
      { ...axis, size: 30, values: (_, ticks) => ticks.map((v) => String(Number(v.toPrecision(6)))) },
      { ...axis, size: 54, values: (_, ticks) => ticks.map((v) => String(Number(v.toPrecision(4)))) },
    ],
    series: [
      {},
      ...plot.series.map((one) => {
        const { stroke, dash } = strokeOf(plot, one);
        return { stroke, dash, width: 1.75, spanGaps: true, points: { size: 4, fill: stroke } };
      }),
    ],
    hooks: {
      setCursor: [moved],
      draw: [
        (u) => {
          if (level !== undefined) rule(u, u.valToPos(level, "y", true), "across", soft);
          if (mark) rule(u, u.valToPos(mark.x, "x", true), "down", soft);
        },
      ],
    },
  };
}

/** A dotted line through the plotting area. */
function rule({ ctx, bbox }: uPlot, at: number, way: "across" | "down", color: string): void {
  const { left, top, width, height } = bbox;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(way === "across" ? left : at, way === "across" ? at : top);
  ctx.lineTo(way === "across" ? left + width : at, way === "across" ? at : top + height);
  ctx.stroke();
  ctx.restore();
}
