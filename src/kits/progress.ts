// Progress of a long loop: a bar on a terminal, plain lines in a log file. Everything goes to standard error, so that
// standard output stays free for results (--json).

import cliProgress from "cli-progress";
import { OptionError } from "../errors.ts";

/** A running progress display. Always call `stop`, best in a `finally`: the bar holds a timer. */
export interface Progress {
  /** Sets how much is done, and what else to show, such as { loss: 0.31 }. */
  update(done: number, values?: Record<string, string | number>): void;
  /** Adds to what is done; default 1. */
  increment(by?: number, values?: Record<string, string | number>): void;
  /** Prints a line of its own without tearing the bar. */
  log(line: string): void;
  /** Ends the display and leaves its last state. Safe to call twice. */
  stop(): void;
}

export const PROGRESS_MODES = ["auto", "bar", "lines", "silent"] as const;
/** How progress is shown: what the terminal allows, a bar, plain lines, or not at all. */
export type ProgressMode = (typeof PROGRESS_MODES)[number];

export interface ProgressOptions {
  /** What is going on: "train", "predict". */
  label: string;
  total: number;
  /** What is counted; default "images". */
  unit?: string;
  /** Already done at the start (a resumed run); not counted in the speed. */
  start?: number;
  /** Default "auto": a bar if both standard streams are terminals and CI is not set, else lines. */
  mode?: ProgressMode;
  /** Default standard error. */
  stream?: NodeJS.WriteStream;
}

const UNIT = "images";
const STEP = 0.1; // plain lines: one per tenth of the work
const QUIET = 30_000; // ms: and never silent for longer than this
const WINDOW = 20_000; // ms of history behind the speed: long enough to be calm, short enough to forget warm-up

/**
 * Starts a progress display of `total` units with speed and time left.
 * `mode` "lines" writes a line every 10 % and at least every 30 s; "silent" writes nothing, `log` included.
 * Throws OptionError if `total` is not a number from 0.
 */
export function startProgress(options: ProgressOptions): Progress {
  const { total, stream = process.stderr } = options;
  if (!(total >= 0) || !Number.isFinite(total)) {
    throw new OptionError(`startProgress: total must be a number from 0, found ${total}`);
  }
  const mode = chooseMode(options.mode ?? "auto", stream);
  if (mode === "silent")
    return counted(options, { show: () => undefined, log: () => undefined, stop: () => undefined });
  return counted(options, mode === "bar" ? barDisplay(options, stream) : lineDisplay(options, stream));
}

/** `auto` resolved: "bar" on terminals, "lines" in logs, pipes and CI. */
export function chooseMode(
  mode: ProgressMode,
  stream: NodeJS.WriteStream = process.stderr,
): Exclude<ProgressMode, "auto"> {
  if (mode !== "auto") return mode;
  const ci = process.env.CI !== undefined && process.env.CI !== "" && process.env.CI !== "false";
  return process.stdout.isTTY && stream.isTTY && !ci ? "bar" : "lines";
}

/** "3 s", "2 min 05 s", "1 h 07 min"; "?" if unknown. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}

/** How far a loop is. `rate` in units per second, `left` in seconds; both NaN until known. */
export interface Advance {
  label: string;
  unit: string;
  total: number;
  done: number;
  rate: number;
  left: number;
}

let watcher: ((advance: Advance) => void) | null = null;

/**
 * Tells `listener` of every advance of every loop, whatever the mode, until the function returned is called. Standard
 * error is one for the whole process, and so is this.
 */
export function watchProgress(listener: (advance: Advance) => void): () => void {
  watcher = listener;
  return () => {
    if (watcher === listener) watcher = null;
  };
}

type Values = Record<string, string | number>;

/** What a bar or a log line shows. `rate` in units per second, `left` in seconds; both NaN until known. */
interface State {
  done: number;
  rate: number;
  left: number;
  values: Values;
}

interface Display {
  show(state: State): void;
  log(line: string): void;
  stop(state: State): void;
}

/** Keeps the count and the speed; the display only draws. */
function counted({ label, unit = UNIT, total, start = 0 }: ProgressOptions, display: Display): Progress {
  const speed = speedometer(start);
  const state: State = { done: start, rate: NaN, left: NaN, values: {} };
  const tell = (): void => watcher?.({ label, unit, total, done: state.done, rate: state.rate, left: state.left });
  let stopped = false;
  tell();
  const update = (done: number, values?: Values): void => {
    if (stopped) return;
    state.done = Math.min(Math.max(done, 0), total);
    if (values) state.values = values;
    state.rate = speed(state.done);
    state.left = state.done >= total ? 0 : (total - state.done) / state.rate;
    display.show(state);
    tell();
  };
  return {
    update,
    increment: (by = 1, values) => update(state.done + by, values),
    log: (line) => display.log(line),
    stop: () => {
      if (stopped) return;
      stopped = true;
      display.stop(state);
    },
  };
}

/** Units per second over the last WINDOW; NaN before any time has passed. */
function speedometer(start: number): (done: number) => number {
  const history = [{ time: performance.now(), done: start }];
  return (done) => {
    const time = performance.now();
    history.push({ time, done });
    while (history.length > 2 && time - history[1].time > WINDOW) history.shift();
    const seconds = (time - history[0].time) / 1000;
    return seconds > 0 ? (done - history[0].done) / seconds : NaN;
  };
}

function barDisplay({ label, total, unit = UNIT, start = 0 }: ProgressOptions, stream: NodeJS.WriteStream): Display {
  const bar = new cliProgress.SingleBar({
    stream,
    format: `${label} [{bar}] {percentage} %  {value}/{total} ${unit}  {tail}`,
    barCompleteChar: "=",
    barIncompleteChar: " ",
    barsize: 30,
    hideCursor: false, // an interrupted run must not leave a terminal without a cursor
    gracefulExit: false, // interrupts belong to the training loop, which writes a checkpoint first
    emptyOnZero: true,
    forceRedraw: true, // after a line from log the bar must come back even if nothing changed
  });
  bar.start(total, start, { tail: "" });
  return {
    show: (state) => bar.update(state.done, { tail: tail(state, unit) }),
    log: (line) => {
      stream.write(`\r\x1b[K${line}\n`);
      bar.render();
    },
    stop: () => bar.stop(),
  };
}

function lineDisplay(options: ProgressOptions, stream: NodeJS.WriteStream): Display {
  const { label, total, unit = UNIT, start = 0 } = options;
  let last: State = { done: start, rate: NaN, left: NaN, values: {} };
  let printed = Math.floor(start / total / STEP + 1e-9);
  let printedDone = -1;
  const print = (): void => {
    const percent = total === 0 ? 100 : Math.floor((100 * last.done) / total);
    stream.write(`${label}: ${last.done}/${total} ${unit} (${percent} %)  ${tail(last, unit)}\n`);
    printed = Math.floor(last.done / total / STEP + 1e-9);
    printedDone = last.done;
    timer.refresh();
  };
  // Also prints while one slow step is under way, so that a watcher sees life; it never keeps the process alive.
  const timer = setInterval(print, QUIET);
  timer.unref();
  return {
    show: (state) => {
      last = { ...state };
      // The small offset: 3 * 0.1 is above 0.3 in binary, and a tenth must not slip to the next step.
      if (Math.floor(last.done / total / STEP + 1e-9) > printed) print();
    },
    log: (line) => void stream.write(line + "\n"),
    stop: () => {
      clearInterval(timer);
      if (last.done !== printedDone && last.done > start) print();
      clearInterval(timer);
    },
  };
}

function tail({ rate, left, values }: State, unit: string): string {
  const parts = [`${formatRate(rate)} ${unit}/s`];
  if (left !== 0) parts.push(`${formatDuration(left)} left`);
  for (const [name, value] of Object.entries(values)) {
    parts.push(`${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`);
  }
  return parts.join("  ");
}

function formatRate(rate: number): string {
  if (!Number.isFinite(rate)) return "?";
  return rate >= 100 ? rate.toFixed(0) : rate.toPrecision(3);
}
