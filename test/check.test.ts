// The checker itself: it passes what is right, and each kind of mistake is reported with its name, place and values.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Tensor, Rng, close, empty, init, record, tensor } from "../src/index.ts";
import * as wgsl from "../src/gpu/kernels.gen.ts";
import { launch } from "../src/gpu/program.ts";
import {
  absolute, checkOp, checkThrows, exact, expectClose, numericalGradient, randomInputs, ulps, ulpsEach,
} from "./check.ts";
import * as reference from "./reference/index.ts";

beforeAll(() => init());
afterAll(() => close());

function sumOf(a: Tensor, b: Tensor): Tensor {
  const y = empty(a.shape);
  launch(wgsl.accumulate, { buffers: { a, b, y }, grid: [1, 1, 1] });
  return y;
}

type Gradients = (dy: Tensor) => (Tensor | null)[];
const add = (gradients: Gradients) => (a: Tensor, b: Tensor) => record(sumOf(a, b), [a, b], gradients);
const right = add((dy) => [dy, dy]);
const shapes = [[[5], [5]], [[2, 3], [2, 3]]];

test("a right operation passes", async () => {
  await checkOp("add", right, reference.add, { shapes, tol: ulps(1) });
});

test("two outputs are checked together", async () => {
  const both = (a: Tensor, b: Tensor): Tensor[] => [right(a, b), right(a, a)];
  const double = (a: reference.NdArray) => reference.map(a, (v) => 2 * v);
  await checkOp("both", both, (a, b) => [reference.add(a, b), double(a)], { shapes });
  await expect(checkOp("both", right, (a, b) => [reference.add(a, b), a], { shapes })).rejects.toThrow(
    "both ([5], [5]): 1 outputs, expected 2",
  );
});

test("another shape is reported", async () => {
  const flat = (a: reference.NdArray, b: reference.NdArray) => reference.reshape(reference.add(a, b), [1, 5]);
  const found = checkOp("add", right, flat, { shapes: [[[5], [5]]] });
  await expect(found).rejects.toThrow("add ([5], [5]): y0 has shape [5], expected [1,5]");
});

test("a wrong value is reported", async () => {
  await expect(checkOp("add", right, reference.sub, { shapes })).rejects.toThrow(
    /^add \(\[5\], \[5\]\): y at \[\d\]: got -?[\d.]+, expected -?[\d.]+, allowed .*; 5 of 5 values differ\)$/,
  );
});

test("a wrong, and a missing, gradient is reported", async () => {
  const wrong = add((dy) => [dy, sumOf(dy, dy)]);
  const found = checkOp("add", wrong, reference.add, { shapes });
  await expect(found).rejects.toThrow(/^add \(\[5\], \[5\]\): gradient of input 1 at \[0\]: got /);
  const missing = add((dy) => [dy, null]);
  await expect(checkOp("add", missing, reference.add, { shapes })).rejects.toThrow(
    /backward left no gradient for input 1$/,
  );
  await checkOp("add", missing, reference.add, { shapes, grad: [true, false] });
});

test("where gradients are sampled, one wrong element among many is still seen", async () => {
  const one = tensor(Array.from({ length: 100 }, (_, i) => (i === 57 ? 1 : 0)));
  const spoilt = add((dy) => [sumOf(dy, one), dy]);
  const found = checkOp("add", spoilt, reference.add, { shapes: [[[100], [100]]], probes: 2 });
  await expect(found).rejects.toThrow(/gradient of input 0 along a random direction of all 100 elements/);
});

test("not a number is a difference, and so is another shape", () => {
  const y = reference.array([2], [1, 2]);
  const spoilt = { shape: [2], data: [1, NaN] };
  checkThrows(() => expectClose("op: y", spoilt, y, ulps(1e9)), /^op: y at \[1\]: got NaN, expected 2/);
  checkThrows(
    () => expectClose("op: y", { shape: [1, 2], data: [1, 2] }, y, exact),
    "op: y: shape [1,2], expected [2]",
  );
});

test("tolerances allow what they say", () => {
  expect(ulps(2)(4, 1)).toBe(2 * 2 ** -23 * 4);
  expect(ulpsEach(2)(4, -1)).toBe(2 * 2 ** -23);
  expect(absolute(0.5)(4, 1)).toBe(0.5);
  const y = reference.array([1], [1]);
  expectClose("y", { shape: [1], data: [1 + 2 ** -23] }, y, ulps(1));
  const off = { shape: [1], data: [1 + 2 ** -22] };
  checkThrows(() => expectClose("y", off, y, ulps(1)), /got 1.000000238418579, expected 1, allowed/);
});

test("central differences of a known function", () => {
  const x = reference.array([3], [-1, 0.5, 2]);
  const gradient = numericalGradient(reference.sin, [x], 0, [reference.array([3], [1, 2, 3])]);
  expectClose(
    "cos",
    gradient,
    reference.array([3], [Math.cos(-1), 2 * Math.cos(0.5), 3 * Math.cos(2)]),
    absolute(1e-9),
  );
});

test("random inputs keep their promises", () => {
  const [x] = randomInputs([[500]], new Rng(1), { range: [-1, 1], avoid: [0], margin: 0.1 });
  expect(Math.min(...x.data.map(Math.abs))).toBeCloseTo(0.1, 6);
  expect([...x.data]).toEqual([...x.data.map(Math.fround)]);
  const [a, b] = randomInputs([[50], [70]], new Rng(1), { distinct: true });
  expect(new Set([...a.data, ...b.data]).size).toBe(120);
});

test("checkThrows wants an error, and its exact message", async () => {
  const fail = (): never => {
    throw new Error("op: wrong");
  };
  checkThrows(fail, "op: wrong");
  expect(() => checkThrows(fail, "op")).toThrow('expected an error "op", got "op: wrong"');
  expect(() => checkThrows(() => 1, "op")).toThrow('expected an error "op", but nothing was thrown');
  await checkThrows(async () => fail(), "op: wrong");
  await expect(checkThrows(async () => 1, "op")).rejects.toThrow("but nothing was thrown");
});
