// The parts of the page out of what is there of a run.

import { basename } from "node:path";
import type { LinePlot, Series } from "../linePlot.ts";
import { regionNames } from "../metrics.ts";
import { formatDuration } from "../progress.ts";
import { bestEpoch, scaleName, stagePlots } from "../report/curves.ts";
import { settingsTables } from "../report/settings.ts";
import { describeData } from "../run.ts";
import { stageNames } from "../stages.ts";
import type { EpochLog } from "../train.ts";
import type { Live } from "../watch/liveFile.ts";
import { shownStages, type Snapshot } from "./folder.ts";
import type { CurvesPart, LivePart, Parts, RunPart, StageState } from "./wire.ts";

export function partsOf(snapshot: Snapshot): Parts {
  return { run: runPart(snapshot), live: livePart(snapshot), curves: curvesPart(snapshot) };
}

function runPart(snapshot: Snapshot): RunPart {
  const { folder, facts, log, metrics, sent, faults } = snapshot;
  const status = statusOf(snapshot);
  return {
    name: basename(folder),
    status,
    error: facts?.error ?? null,
    synthetic: facts?.data.synthetic ?? false,
    facts: factRows(snapshot),
    stages: stageStates(snapshot),
    scores: metrics && status !== "running" ? regionNames.map((r) => [r, metrics.mean[r].dice]) : [],
    warnings: [...faults.values(), ...[...log].flatMap(([stage, lines]) => warningsOf(stage, lines))],
    pictures: picturesOf(sent),
    report: sent.has("report.html"),
    settings: facts ? settingsTables(facts.options).text : "",
  };
}

function statusOf({ facts, live, alive }: Snapshot): RunPart["status"] {
  if (alive && facts?.status !== "finished") return "running";
  if (!facts) return live ? "killed" : "waiting";
  return facts.status === "running" && live ? "killed" : facts.status;
}

function factRows({ folder, facts }: Snapshot): (readonly [string, string])[] {
  if (!facts) return [["folder", folder]];
  const { adapter, started, finished, wgrad, node } = facts;
  const time = (iso: string): string => iso.replace("T", " ").replace(/\.\d+Z$/, " UTC");
  const end: (readonly [string, string])[] = finished ? [["finished", time(finished)]] : [];
  return [
    ["folder", folder],
    ["preset", facts.preset],
    ["data", describeData(facts.data)],
    ["split", (["train", "val", "test"] as const).map((part) => `${facts.split[part].length} ${part}`).join(", ")],
    ["adapter", `${adapter.name}${adapter.software ? " (software: the CPU does the work)" : ""}`],
    ["started", time(started)],
    ...end,
    ["versions", `wgrad ${wgrad}, Node ${node}`],
  ];
}

/** The networks of the run; those that another command is to train wait. */
function stageStates({ facts, log, live, alive }: Snapshot): StageState[] {
  const now = alive ? live?.training?.stage : undefined;
  const trained = facts?.trained ?? {};
  const there = shownStages.filter((name) => log.has(name) || name === now || Object.hasOwn(trained, name));
  const planned = there.some((name) => name === "region") ? there : stageNames;
  return planned.map((name) => {
    const last = log.get(name)?.at(-1);
    const running = name === now && trained[name] === undefined;
    const known = trained[name] === "absent" ? "absent" : trained[name] ? "done" : running ? "running" : "waiting";
    const epochs = last?.epochs ?? (running ? live!.training!.epochs : 0);
    return { name, state: known, epoch: last?.epoch ?? 0, epochs };
  });
}

const WARNINGS = 50; // the newest of a stage

function warningsOf(stage: string, lines: readonly EpochLog[]): string[] {
  return lines
    .flatMap(({ epoch, warnings = [] }) => warnings.map((text) => `${stage}, epoch ${epoch}: ${text}`))
    .slice(-WARNINGS);
}

function picturesOf(sent: Snapshot["sent"]): RunPart["pictures"] {
  const titles = shownStages.map((stage) => [`validation/${stage}.png`, `${stage}: validation slices`] as const);
  return [["overlays.png", "test cases: CT, reference, prediction"] as const, ...titles.reverse()].flatMap(
    ([name, title]) =>
      sent.has(name) ? [{ title, url: `/${name}?version=${encodeURIComponent(sent.get(name)!)}` }] : [],
  );
}

function livePart({ live, alive, log }: Snapshot): LivePart {
  const phase = alive ? (live?.phase ?? null) : null;
  const stage = live?.training?.stage ?? [...log.keys()].at(-1) ?? null;
  const lines = (stage && log.get(stage)) || [];
  return {
    phase: phase && {
      text: `${phase.label}: ${phase.done ?? 0} of ${phase.total ?? 0} ${phase.unit}`,
      share: phase.total ? (phase.done ?? 0) / phase.total : 0,
      detail: [
        phase.rate === null ? "" : `${Number(phase.rate.toPrecision(3))} ${phase.unit}/s`,
        phase.left ? `${formatDuration(phase.left)} left` : "",
      ]
        .filter((text) => text !== "")
        .join(", "),
    },
    tiles: tilesOf(stage, lines, alive ? (live ?? null) : null),
    stage,
    plots: live?.training ? livePlots(live.training) : [],
  };
}

/** The newest numbers of a stage. */
function tilesOf(stage: string | null, lines: readonly EpochLog[], live: Live | null): LivePart["tiles"] {
  const last = lines.at(-1);
  const best = bestEpoch(lines);
  const show = (value: number | null | undefined, digits: number): string =>
    typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits) : "–";
  const losses = live?.training?.values.at(-1) ?? [];
  const stepLoss = losses[live?.training?.names.indexOf("loss") ?? -1];
  const epochs = last?.epochs ?? live?.training?.epochs;
  const dice = Object.entries(last?.validationDice ?? {});
  const { rate = null, left = null, unit = null } = live?.phase ?? {};
  const training = live?.phase?.label === `train ${stage}`;
  const speed = training && unit === "images" ? rate : last?.imagesPerSecond;
  return [
    { name: "epoch", value: `${last?.epoch ?? 0}${epochs ? ` / ${epochs}` : ""}`, note: stage ?? "" },
    { name: "training loss", value: show(stepLoss ?? last?.trainLoss, 4), note: training ? "newest steps" : "epoch" },
    {
      name: "validation loss",
      value: show(last?.validationLoss, 4),
      note: best ? `best ${show(best.validationLoss, 4)} in epoch ${best.epoch}` : "",
    },
    {
      name: "validation Dice",
      value: dice.map(([, value]) => show(value, 3)).join(" · ") || "–",
      note: dice.map(([name]) => name).join(" · "),
    },
    { name: "images/s", value: show(speed, speed && speed >= 100 ? 0 : 1), note: "training" },
    {
      name: "GPU memory",
      value: last?.gpuMemory === undefined ? "–" : `${(last.gpuMemory / 2 ** 20).toFixed(0)} MiB`,
      note: "per training step",
    },
    ...(live?.phase
      ? [{ name: "time left", value: left === null ? "–" : formatDuration(left), note: live.phase.label }]
      : []),
  ];
}

/** Curves of the steps: the loss, and how sure the discriminators are. */
function livePlots({ stage, names, x, values }: NonNullable<Live["training"]>): LinePlot[] {
  const series = (term: RegExp, color: (scale: number) => string, style?: string): Series[] =>
    names.flatMap((name, k) =>
      term.test(name)
        ? [{ color: color(Number(name.split(".")[1])), style, points: x.map((at, i) => ({ x: at, y: values[i][k] })) }]
        : [],
    );
  const plots: LinePlot[] = [
    { title: `${stage}: loss of the steps`, x: "epoch", y: "loss", series: series(/^loss$/, () => "training") },
    {
      ...{ title: `${stage}: discriminators' confidence`, x: "epoch", y: "mean confidence" },
      ...{ range: [0, 1] as const, level: 0.5 },
      series: [
        ...series(/confidenceLabel$/, scaleName, "on labels"),
        ...series(/confidencePrediction$/, scaleName, "on predictions"),
      ],
    },
  ];
  return plots.filter((plot) => plot.series.length > 0);
}

function curvesPart({ log }: Snapshot): CurvesPart {
  return [...log].map(([stage, lines]) => ({
    stage,
    plots: [...stagePlots(stage, lines).map(([, plot]) => plot), ...speedPlots(stage, lines)],
  }));
}

/** What a run costs, and its learning rate. */
function speedPlots(stage: string, lines: readonly EpochLog[]): LinePlot[] {
  const of = (color: string, read: (line: EpochLog) => number | undefined): Series[] => [
    { color, points: lines.map((line) => ({ x: line.epoch, y: read(line) })) },
  ];
  const plots: LinePlot[] = [
    { title: `${stage}: images/s`, x: "epoch", y: "images/s", series: of("training", (l) => l.imagesPerSecond) },
    {
      ...{ title: `${stage}: GPU memory`, x: "epoch", y: "MiB" },
      series: of("training step", ({ gpuMemory }) => gpuMemory && gpuMemory / 2 ** 20),
    },
    { title: `${stage}: learning rate`, x: "epoch", y: "rate", series: of("Adam", (l) => l.lr) },
  ];
  return plots.filter(({ series }) => series[0].points.some(({ y }) => Number.isFinite(y)));
}
