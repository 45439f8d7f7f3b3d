// What all optimisers share: parameter groups, state, and the launches of a step.
//
// A launch binds two parameters with their gradients and states, so a step of P parameters takes 1 + P / 2 launches.
// One flat buffer for everything would take one launch, but then parameters would have to be views into it; eight
// storage buffers, what every WebGPU adapter offers, hold two parameters beside the table of rates. Step counts live on
// the GPU, one per parameter as in PyTorch, so that a step skipped for a bad gradient
// is not counted and nothing is read back.

import { DataError, OptionError, ShapeError } from "../../errors.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { assign } from "../../kernels/layout.ts";
import { keep } from "../../scope.ts";
import { sameShape, showShape } from "../../shape.ts";
import { empty, hostTensor, tensor, zeros, type Tensor } from "../../tensor.ts";
import type { StateDict } from "../module.ts";
import type { Rule } from "./rules.ts";

/** Tensors, or names and tensors as namedParameters() gives them; names are used in checkpoints. */
export type Parameters = Iterable<Tensor | readonly [name: string, parameter: Tensor]>;

/** Parameters with settings of their own; what is left out is taken from the optimiser's options. */
export type ParameterGroup<H> = { readonly params: Parameters } & Partial<H>;

/** A group as the optimiser holds it: its settings may be changed at any time and count from the next step on. */
export type Group<H> = { readonly params: readonly Tensor[] } & H;

/** Everything that step() depends on, on the host, for a checkpoint. */
export interface OptimizerState {
  readonly tensors: StateDict;
  readonly numbers: Readonly<Record<string, number>>;
}

const HAS_GRADIENT = 0x80000000;
const PER_WORKGROUP = 64 * 4; // vec4 that a workgroup of optim_update.wgsl handles
const ROW = 12; // numbers per group

/** One place in a launch: a parameter, its state, and its number in the table of rates. */
interface Slot {
  readonly p: Tensor;
  readonly state: Tensor;
  readonly index: number;
}

interface Pair {
  readonly first: Slot;
  readonly second: Slot;
  /** [2] u32: the numbers of both. */
  readonly slots: Tensor;
}

/** The base of SGD, Adam, AdamW and RMSprop, which differ in their Rule; H are its settings. */
export class Optimizer<H extends { lr: number }> {
  readonly groups: readonly Group<H>[];
  private readonly rule: Rule<H>;
  private readonly states: number;
  private readonly names: readonly string[];
  private readonly parameters: readonly Tensor[];
  /** The group of every parameter. */
  private readonly groupOf: readonly number[];
  private readonly stateOf: readonly Tensor[];
  private readonly counts: Tensor;
  private readonly pairs: readonly Pair[];
  /** Stands for a gradient or a parameter that is not there. */
  private readonly nothing: Tensor;
  private readonly never: Tensor;

  constructor(parameters: Parameters | readonly ParameterGroup<H>[], options: H, rule: Rule<H>) {
    const given = asGroups<H>(parameters).map(({ params, ...own }) => ({
      named: [...params].map(asNamed),
      settings: { ...options, ...own } as H,
    }));
    const all = given.flatMap(({ named }) => named);
    this.rule = rule;
    this.names = all.map(([name], i) => name ?? String(i));
    this.parameters = all.map(([, p]) => p);
    this.groups = given.map(({ named, settings }) => ({ ...settings, params: named.map(([, p]) => p) }));
    this.groupOf = given.flatMap(({ named }, i) => named.map(() => i));
    checkParameters(rule.name, this.names, this.parameters);
    this.groups.forEach((g) => rule.check(g));
    this.states = Math.max(...this.groups.map((g) => rule.states(g)));
    this.nothing = keep(zeros([4]));
    this.never = keep(zeros([1], { dtype: "u32" }));
    this.counts = keep(zeros([all.length], { dtype: "u32" }));
    this.stateOf = this.parameters.map((p) => this.makeState(p.size));
    this.pairs = this.makePairs();
  }

  /** State comes in vec4 next to each other, one of each kind, so that a thread finds all of it at one place. */
  private makeState(size: number): Tensor {
    return keep(zeros(this.states === 0 ? [4] : [Math.ceil(size / 4), this.states, 4]));
  }

  private makePairs(): Pair[] {
    const slots = this.parameters.map((p, index): Slot => ({ p, state: this.stateOf[index], index }));
    // A stand-in fills an odd place: its gradient is 0, and nobody reads it.
    if (slots.length % 2 === 1) slots.push({ p: keep(zeros([4])), state: this.makeState(4), index: 0 });
    return Array.from({ length: slots.length / 2 }, (_, k) => {
      const [first, second] = [slots[2 * k], slots[2 * k + 1]];
      return { first, second, slots: keep(tensor([first.index, second.index], { dtype: "u32" })) };
    });
  }

  /** The learning rate of all groups; reading gives that of the first. Setting it counts from the next step on. */
  get lr(): number {
    return this.groups[0].lr;
  }

  set lr(value: number) {
    for (const g of this.groups) g.lr = value;
  }

  /**
   * Moves every parameter that has a gradient by one step, in place. Where `skip` ([1] u32, on the GPU) is not 0,
   * nothing changes and nothing is counted. Throws OptionError for a setting outside its range, ShapeError for a
   * gradient that does not fit.
   */
  step({ skip = this.never }: { skip?: Tensor } = {}): void {
    const rates = empty([this.parameters.length, 4, 4]);
    const members = this.parameters.map((p, i) => (this.hasGradient(p, i) ? HAS_GRADIENT : 0) + this.groupOf[i]);
    launch(wgsl.optim_begin, {
      buffers: { hyper: this.hyper(), members: tensor(members, { dtype: "u32" }), skip, counts: this.counts, rates },
      grid: linearGrid(this.parameters.length, 64),
    });
    for (const pair of this.pairs) this.update(pair, rates);
  }

  private hasGradient(p: Tensor, i: number): boolean {
    if (p.grad && !sameShape(p.grad.shape, p.shape)) {
      const shapes = `${showShape(p.shape)}, got ${showShape(p.grad.shape)}`;
      throw new ShapeError(`${this.rule.name}: the gradient of parameter ${this.names[i]} must be ${shapes}`);
    }
    return p.grad !== null;
  }

  /** The settings as they are now; when the recorded step is run again, as they are then. */
  private hyper(): Tensor {
    let now: Float32Array<ArrayBuffer> | null = this.rows();
    return hostTensor([this.groups.length, ROW], "f32", () => {
      const rows = now ?? this.rows();
      now = null;
      return rows;
    });
  }

  private rows(): Float32Array<ArrayBuffer> {
    const rows = new Float32Array(this.groups.length * ROW);
    this.groups.forEach((g, i) => {
      this.rule.check(g);
      if (this.rule.states(g) > this.states)
        throw new OptionError(`${this.rule.name}: momentum cannot be turned on later; make the optimiser with it`);
      rows.set(this.rule.row(g), i * ROW);
    });
    return rows;
  }

  private update({ first, second, slots }: Pair, rates: Tensor): void {
    if (!first.p.grad && !second.p.grad) return;
    const groups = [first, second].map(({ p }) => Math.ceil(Math.ceil(p.size / 4) / PER_WORKGROUP));
    launch(wgsl.optim_update, {
      consts: { RULE: this.rule.number, STATES: this.states },
      buffers: {
        slots,
        rates,
        g0: first.p.grad ?? this.nothing,
        g1: second.p.grad ?? this.nothing,
        p0: first.p,
        p1: second.p,
        s0: first.state,
        s1: second.state,
      },
      grid: linearGrid(groups[0] + groups[1], 1),
    });
  }

  /** Forgets all gradients, so that the next backward() starts afresh. */
  zeroGrad(): void {
    for (const p of this.parameters) p.grad = null;
  }

  /** All parameters, in order. */
  allParameters(): readonly Tensor[] {
    return this.parameters;
  }

  /** Copies state, step counts and settings to the host. Restored by loadState(), training goes on bit by bit. */
  async state(): Promise<OptimizerState> {
    const tensors: StateDict = {};
    for (const [name, t] of this.stateTensors())
      tensors[name] = { shape: t.shape, dtype: t.dtype, data: (await t.read()) as Float32Array<ArrayBuffer> };
    return { tensors, numbers: this.numbers() };
  }

  private stateTensors(): [name: string, Tensor][] {
    const states: [string, Tensor][] = this.stateOf.map((s, i) => [`state.${this.names[i]}`, s]);
    return this.states === 0 ? [["steps", this.counts]] : [["steps", this.counts], ...states];
  }

  /** The settings that are numbers, by group and name: "0.lr", "0.betas.1". */
  private numbers(): Record<string, number> {
    const out: Record<string, number> = {};
    this.groups.forEach(({ params: _, ...settings }, i) => {
      for (const [name, value] of Object.entries(settings)) {
        if (Array.isArray(value)) value.forEach((v: number, k) => (out[`${i}.${name}.${k}`] = v));
        else out[`${i}.${name}`] = Number(value);
      }
    });
    return out;
  }

  /**
   * Restores what state() gave, in place. Nothing is changed when it throws: DataError for names that do not fit,
   * ShapeError for shapes or dtypes, as when the model or the kind of optimiser differs.
   */
  loadState({ tensors, numbers }: OptimizerState): void {
    const own = this.stateTensors();
    const expected = Object.keys(this.numbers());
    checkNames(
      this.rule.name,
      own.map(([name]) => name),
      Object.keys(tensors),
    );
    checkNames(this.rule.name, expected, Object.keys(numbers));
    for (const [name, t] of own) {
      const { shape, dtype } = tensors[name];
      if (!sameShape(t.shape, shape) || t.dtype !== dtype) {
        const shapes = `${t.dtype} ${showShape(t.shape)}, got ${dtype} ${showShape(shape)}`;
        throw new ShapeError(`${this.rule.name}: ${name} of the checkpoint must be ${shapes}`);
      }
    }
    for (const [name, t] of own)
      assign(
        t,
        hostTensor(t.shape, t.dtype, () => tensors[name].data),
      );
    this.groups.forEach((group, i) => {
      const settings = group as unknown as Record<string, unknown>;
      for (const [name, value] of Object.entries(settings)) {
        if (Array.isArray(value) && name !== "params")
          settings[name] = value.map((_, k) => numbers[`${i}.${name}.${k}`]);
        else if (typeof value === "boolean") settings[name] = numbers[`${i}.${name}`] !== 0;
        else if (typeof value === "number") settings[name] = numbers[`${i}.${name}`];
      }
    });
  }
}

function asGroups<H>(parameters: Parameters | readonly ParameterGroup<H>[]): ParameterGroup<H>[] {
  const list = [...(parameters as Iterable<unknown>)];
  const first = list[0];
  if (typeof first === "object" && first !== null && "params" in first) return list as ParameterGroup<H>[];
  return [{ params: list } as unknown as ParameterGroup<H>];
}

function asNamed(entry: Tensor | readonly [string, Tensor]): [name: string | null, Tensor] {
  return "storage" in entry ? [null, entry] : [entry[0], entry[1]];
}

function checkParameters(rule: string, names: readonly string[], parameters: readonly Tensor[]): void {
  if (parameters.length === 0) throw new OptionError(`${rule}: there must be at least one parameter, got none`);
  parameters.forEach((p, i) => {
    if (p.dtype !== "f32")
      throw new ShapeError(`${rule}: parameter ${names[i]} must be f32, got ${p.dtype} ${showShape(p.shape)}`);
    const before = parameters.findIndex((q) => q.storage === p.storage);
    if (before !== i)
      throw new OptionError(
        `${rule}: parameter ${names[i]} is parameter ${names[before]} once more; give each one once`,
      );
    if (names.indexOf(names[i]) !== i)
      throw new OptionError(`${rule}: the name ${names[i]} is given to two parameters`);
  });
}

function checkNames(rule: string, own: readonly string[], given: readonly string[]): void {
  const missing = own.find((name) => !given.includes(name));
  const extra = given.find((name) => !own.includes(name));
  if (missing !== undefined)
    throw new DataError(`${rule}: the checkpoint lacks ${missing}; it is of another model or optimiser`);
  if (extra !== undefined)
    throw new DataError(
      `${rule}: the checkpoint has ${extra}, which this optimiser has not; it is of another model or optimiser`,
    );
}
