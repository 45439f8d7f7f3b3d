// The programs that bench/compare.ts asks: which there are, whether they are installed, and talking to one.

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { OptionError } from "../src/errors.ts";
import type { PeerCase, PeerTraining } from "./peers/cases.ts";

export type PeerName = "tfjs" | "tfjs-wasm" | "jax" | "pytorch";

interface PeerKind {
  readonly title: string;
  readonly file: string;
  readonly args?: readonly string[];
  /** What must be installed in bench/peers; none for PyTorch, which is Python's. */
  readonly packages: readonly string[];
  /** True where it runs on the adapter, as wgrad does. */
  readonly onAdapter: boolean;
}

const TFJS = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-webgpu", "@tensorflow/tfjs-backend-wasm"];

export const PEERS: Readonly<Record<PeerName, PeerKind>> = {
  tfjs: { title: "TF.js WebGPU", file: "tfjs.mjs", args: ["webgpu"], packages: TFJS, onAdapter: true },
  "tfjs-wasm": { title: "TF.js Wasm", file: "tfjs.mjs", args: ["wasm"], packages: TFJS, onAdapter: false },
  jax: { title: "jax-js", file: "jax.mjs", packages: ["@jax-js/jax"], onAdapter: true },
  pytorch: { title: "PyTorch", file: "torch_peer.py", packages: [], onAdapter: false },
};

/** From dist/ as from bench/. */
const FOLDER = join(import.meta.dirname, "..", "bench", "peers");

const PYTHON = process.env.PYTHON || (existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3");

/** One thread for OpenBLAS: beside OpenMP's four it would fight for the cores. */
const PYTHON_THREADS = { OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "4" };

/** The names in a list like "tfjs,jax". Throws OptionError for others. */
export function parsePeers(list: string): PeerName[] {
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !Object.hasOwn(PEERS, name));
  if (unknown.length > 0)
    throw new OptionError(`--peers: takes ${Object.keys(PEERS).join(", ")}, found ${unknown.join(", ") || "nothing"}`);
  return [...new Set(names)] as PeerName[];
}

/** What to do about peers that are not there; null when all are. */
export function missingPeers(
  names: readonly PeerName[],
  isInstalled: (name: string) => boolean = (name) => existsSync(join(FOLDER, "node_modules", name)),
  hasTorch: () => boolean = pythonHasTorch,
): string | null {
  const missing = names.filter((name) => !PEERS[name].packages.every(isInstalled));
  const messages = [];
  if (missing.length > 0)
    messages.push(
      `${missing.join(", ")} must be installed (apart from the project); run: npm install --prefix bench/peers`,
    );
  if (names.includes("pytorch") && !hasTorch())
    messages.push(`pytorch: ${PYTHON} must import torch and numpy; install them or set PYTHON to one that can`);
  return messages.length > 0 ? messages.join("\n") : null;
}

function pythonHasTorch(): boolean {
  const look = "import sys, importlib.util as u; sys.exit(not (u.find_spec('torch') and u.find_spec('numpy')))";
  return spawnSync(PYTHON, ["-c", look], { stdio: "ignore" }).status === 0;
}

/** A request to a peer; see bench/peers/shared.mjs. */
export type PeerRequest =
  | { readonly do: "case"; readonly case: PeerCase }
  | { readonly do: "train"; readonly steps: number; readonly model: PeerTraining };

export interface Greeting {
  readonly version: string;
  readonly adapter: string;
}

const LAST_LINES = 5;
const END_MS = 3000;
const running = new Set<ChildProcess>();

/** Ends every peer that still runs. */
export function endAllPeers(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** Makes the peers end with this process, however it ends. */
export function endPeersOnExit(): void {
  process.on("exit", endAllPeers);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
}

/** A peer's process. Requests are answered one at a time. */
export class Peer {
  readonly name: PeerName | "wgrad";
  greeting: Greeting = { version: "", adapter: "" };
  private readonly child: ChildProcess;
  private readonly said: string[] = []; // the last lines of stderr
  private waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | null = null;
  private ended: Error | null = null;

  constructor(name: PeerName | "wgrad", env: NodeJS.ProcessEnv) {
    this.name = name;
    const [program, args] = commandOf(name);
    const threads = program === PYTHON ? PYTHON_THREADS : {};
    this.child = spawn(program, args, { env: { ...process.env, ...threads, ...env }, stdio: "pipe" });
    running.add(this.child);
    createInterface({ input: this.child.stdout! }).on("line", (line) => this.hear(line));
    createInterface({ input: this.child.stderr! }).on("line", (line) => {
      this.said.push(line);
      if (this.said.length > LAST_LINES) this.said.shift();
    });
    this.child.stdin!.on("error", () => {}); // it has ended: reported below
    this.child.on("error", (error) => this.end(error.message));
    this.child.on("close", (code, signal) => this.end(`ended with ${signal ?? `code ${code}`}`));
  }

  /** Starts a peer; resolves when it can be asked. Throws when it ends instead. */
  static async start(name: PeerName | "wgrad", env: NodeJS.ProcessEnv = {}): Promise<Peer> {
    const peer = new Peer(name, env);
    peer.greeting = await peer.answer();
    return peer;
  }

  /** The answer to `request`. Throws when the peer ends instead, with its last words. */
  ask<T>(request: PeerRequest): Promise<T | { readonly error: string }> {
    const answer = this.answer<T>();
    if (!this.ended) this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    return answer;
  }

  /** Closes its stdin and waits until it has ended; after three seconds it is killed. */
  async stop(): Promise<void> {
    if (this.ended) return;
    const closed = new Promise((resolve) => this.child.once("close", resolve));
    const timer = setTimeout(() => this.child.kill("SIGKILL"), END_MS);
    this.child.stdin!.end();
    await closed;
    clearTimeout(timer);
  }

  private async answer<T>(): Promise<T> {
    if (this.ended) throw this.ended;
    const line = await new Promise<string>((resolve, reject) => (this.waiting = { resolve, reject }));
    return JSON.parse(line) as T;
  }

  private hear(line: string): void {
    if (!line.startsWith("{")) return void this.said.push(line); // a library that prints
    const { waiting } = this;
    this.waiting = null;
    waiting?.resolve(line);
  }

  private end(how: string): void {
    running.delete(this.child);
    this.ended ??= new Error([`${this.name}: the peer ${how}`, ...this.said].join("\n  "));
    this.waiting?.reject(this.ended);
    this.waiting = null;
  }
}

function commandOf(name: PeerName | "wgrad"): [program: string, args: string[]] {
  if (name === "wgrad") return [process.execPath, ["--expose-gc", process.argv[1], "--serve"]];
  const { file, args = [] } = PEERS[name];
  const path = join(FOLDER, file);
  return file.endsWith(".py") ? [PYTHON, [path]] : [process.execPath, [path, ...args]];
}
