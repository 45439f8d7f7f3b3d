// Walking a model: names, parameters, modes, state.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Rng, Tensor, close, init, nn, tensor } from "../../src/index.ts";
import { checkThrows } from "../check.ts";

beforeAll(() => init());
afterAll(() => close());

const names = (pairs: [string, unknown][]) => pairs.map(([name]) => name);

test("names are PyTorch's", () => {
  const rng = new Rng(1);
  const block = new nn.ResidualBlock(2, 4, { squeeze: 2, dropout: 0.5, rng });
  expect(names(nn.namedParameters(block))).toEqual([
    "conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight", "bn2.bias",
    "se.fc.0.weight", "se.fc.2.weight", "shortcut.0.weight", "shortcut.1.weight", "shortcut.1.bias",
  ]);
  expect(names(nn.namedBuffers(block))).toEqual(
    ["bn1", "bn2", "shortcut.1"].flatMap((n) => [`${n}.running_mean`, `${n}.running_var`]),
  );
  const gate = new nn.AttentionGate(4, 4, 2, { rng });
  expect(names(nn.namedParameters(gate)).slice(0, 4)).toEqual([
    "W_g.0.weight",
    "W_g.0.bias",
    "W_g.1.weight",
    "W_g.1.bias",
  ]);
});

test("a shared tensor is one parameter, and cycles end", () => {
  const shared = tensor([1, 2], { requiresGrad: true });
  const model: Record<string, unknown> = {
    a: { weight: shared },
    b: [{ weight: shared }, null, 3, "x", new Float32Array(2)],
  };
  model.self = model;
  expect(names(nn.namedParameters(model))).toEqual(["a.weight"]);
  expect(nn.parameterCount(model)).toBe(2);
});

test("setTraining reaches every layer that differs", () => {
  const model = new nn.ResUNet({ inChannels: 1, classes: 2, width: 2, depth: 1, rng: new Rng(1) });
  const modes = () => new Set(nn.namedModules(model).flatMap(([, m]) => ("training" in m ? [m.training] : [])));
  expect(modes()).toEqual(new Set([true]));
  nn.setTraining(model, false);
  expect(modes()).toEqual(new Set([false]));
});

test("setRequiresGrad freezes a part", () => {
  const model = { a: new nn.Linear(2, 2, { rng: new Rng(1) }), b: new nn.Linear(2, 2, { rng: new Rng(2) }) };
  const all = nn.parameters(model);
  nn.setRequiresGrad(model.a, false);
  expect(nn.parameters(model)).toEqual(nn.parameters(model.b));
  expect(nn.namedBuffers(model).map(([, t]) => t)).toEqual(all.slice(0, 2));
});

test("setRequiresGrad starts again what it has stopped, and no running statistics", () => {
  const model = new nn.ResidualBlock(2, 4, { rng: new Rng(1) });
  const [trained, buffers] = [nn.parameters(model), nn.namedBuffers(model)];
  nn.setRequiresGrad(model, false);
  expect(nn.parameters(model)).toEqual([]);
  nn.setRequiresGrad(model, true);
  expect(nn.parameters(model)).toEqual(trained);
  expect(nn.namedBuffers(model)).toEqual(buffers);
});

test("state moves from one model to another", async () => {
  const [a, b] = [1, 2].map((seed) => new nn.ResidualBlock(2, 4, { rng: new Rng(seed) }));
  const state = await nn.stateDict(a);
  expect(state["bn1.running_var"]).toEqual({ shape: [4], dtype: "f32", data: new Float32Array([1, 1, 1, 1]) });
  nn.loadStateDict(b, { ...state, "bn1.num_batches_tracked": { shape: [], dtype: "i32", data: new Int32Array([7]) } });
  expect(await nn.stateDict(b)).toEqual(state);
});

test("state that does not fit changes nothing", async () => {
  const model = new nn.Linear(2, 3, { rng: new Rng(1) });
  const before = await nn.stateDict(model);
  const other = { weight: { shape: [3, 2], dtype: "f32" as const, data: new Float32Array(6) } };
  const hint = "; load with strict: false to skip names that do not fit";
  checkThrows(() => nn.loadStateDict(model, other), `loadStateDict: the state lacks bias${hint}`);
  checkThrows(
    () => nn.loadStateDict(model, { ...before, extra: before.bias }),
    `loadStateDict: the model has no extra${hint}`,
  );
  const wide = { ...other, bias: { shape: [2], dtype: "f32" as const, data: new Float32Array(2) } };
  checkThrows(() => nn.loadStateDict(model, wide), "loadStateDict: bias must be f32 [3], got f32 [2]");
  expect(await nn.stateDict(model)).toEqual(before);
  nn.loadStateDict(model, { ...other, extra: before.bias }, { strict: false });
  expect(await nn.stateDict(model)).toEqual({ weight: other.weight, bias: before.bias });
});

test("a state of many strangers is cut short", () => {
  const model = new nn.ResidualBlock(1, 1, { rng: new Rng(1) });
  checkThrows(
    () => nn.loadStateDict(model, {}),
    "loadStateDict: the state lacks conv1.weight, bn1.weight, bn1.bias, bn1.running_mean, " +
      "bn1.running_var and 5 more; load with strict: false to skip names that do not fit",
  );
});

test("dropout repeats from a saved position", async () => {
  const model = { blocks: [new nn.Dropout(0.5, { rng: new Rng(3) })], x: tensor(new Float32Array(64).fill(1)) };
  const draw = async () => [...(await model.blocks[0].forward(model.x).read())];
  await draw();
  const state = nn.rngState(model);
  expect(Object.keys(state)).toEqual(["blocks.0.rng"]);
  const next = await draw();
  expect(await draw()).not.toEqual(next);
  nn.loadRngState(model, state);
  expect(await draw()).toEqual(next);
  checkThrows(
    () => nn.loadRngState(model, { other: 1 }),
    "loadRngState: the model has no random sequence other; it has blocks.0.rng",
  );
  expect(model.x).toBeInstanceOf(Tensor);
});
