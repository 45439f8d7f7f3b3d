// A plot of lines as plain data: the report draws it as SVG, the dashboard on a canvas.

/** One line. Lines of one `color` name share a colour, lines of one `style` name share a dash pattern. */
export interface Series {
  color: string;
  style?: string;
  /** Values that are null or NaN are left out. */
  points: readonly { x: number; y: number | null | undefined }[];
}

export interface LinePlot {
  title: string;
  x: string;
  y: string;
  series: readonly Series[];
  /** Range of the vertical axis; default that of the data. */
  range?: readonly [low: number, high: number];
  /** A vertical line with a word beside it. */
  mark?: { x: number; text: string };
  /** A horizontal dotted line; the default range includes it. */
  level?: number;
}

/** Colours that stand out on light and on dark paper. */
export const palette = ["#3b82c4", "#e0852f", "#2a9d77", "#b8559b", "#7d6fc9", "#8a8f98"];
/** Lengths of strokes and gaps. */
export const dashes = [
  [1, 0],
  [5, 3],
  [1, 3],
];
