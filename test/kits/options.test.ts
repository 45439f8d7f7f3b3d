import { describe, expect, test } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { checkOptions, setOption, stageNames } from "../../src/kits/options.ts";
import { presetOptions, presets } from "../../src/kits/presets.ts";
import { learningRate } from "../../src/kits/network.ts";

describe("presets", () => {
  test.each(Object.keys(presets))("%s keeps its own rules", (name) => {
    expect(() => checkOptions(presetOptions(name))).not.toThrow();
  });

  test("the paper's: width 64, four scales with a discriminator each, Adam 1e-4, batch 16, 200 epochs", () => {
    const o = presetOptions("msalds");
    for (const stage of ["kidney", "masses", "tumor"] as const)
      expect(o[stage]).toMatchObject({
        width: 64,
        depth: 4,
        channels: 3,
        scales: 4,
        discriminators: "all",
        discriminatorWidth: 32,
        batch: 16,
        epochs: 200,
        lr: 1e-4,
        power: 2,
        detachDifficulty: true,
        legacyScalarCE: false,
        adversarialWeight: 0.05,
        gamma: 0.96,
      });
    expect(stageNames.map((name) => presetOptions("msalds-paper")[name].gamma)).toEqual([0.1, 0.1, 0.1, 0.1]);
    expect(presetOptions("msalds-release").kidney).toMatchObject({
      power: 4,
      legacyScalarCE: true,
      detachDifficulty: false,
      discriminatorInput: "logits",
      forward: "fresh",
      sharedLastDiscriminator: true,
    });
  });

  test("see the CT through the paper's window", () => {
    for (const name of Object.keys(presets)) expect(presetOptions(name)).toMatchObject({ window: 540, level: 140 });
  });

  test("are copies: changing one leaves the next as it was", () => {
    presetOptions("demo").kidney.width = 99;
    expect(presetOptions("demo").kidney.width).not.toBe(99);
    const o = presetOptions("demo");
    o.kidney.width = 98;
    expect(o.masses.width).not.toBe(98);
  });

  test("an unknown name lists those there are", () => {
    expect(() => presetOptions("nonsense")).toThrow(
      "--preset must be one of phantom, demo, fast, overfit, msalds, msalds-paper, msalds-release; got nonsense",
    );
  });
});

describe("checkOptions names the setting and its range", () => {
  const message = (change: (o: ReturnType<typeof presetOptions>) => void): string => {
    const o = presetOptions("demo");
    change(o);
    try {
      checkOptions(o);
    } catch (error) {
      expect(error).toBeInstanceOf(OptionError);
      return (error as Error).message;
    }
    return "nothing thrown";
  };
  test("", () => {
    expect(message((o) => (o.kidney.width = 0))).toBe("kidney.width must be a whole number from 1 to 256, got 0");
    expect(message((o) => (o.roi.jitter = 0.7))).toBe("roi.jitter must be from 0 to 0.5, got 0.7");
    expect(message((o) => (o.coarse.size = 100))).toBe("coarse.size must be a multiple of 16 for depth 4, got 100");
    expect(message((o) => (o.tumor.scales = 5))).toBe("tumor.scales must be at most the depth 4, got 5");
    expect(message((o) => (o.masses.discriminators = "some" as "all"))).toBe(
      "masses.discriminators must be one of all, last, none, got some",
    );
    expect(message((o) => (o.kidney.slicesPerEpoch = 0))).toBe(
      "kidney.slicesPerEpoch must be all, organ or a number above 0, got 0",
    );
    expect(message((o) => (o.window = 0))).toBe("window must be from 1 to 4096, got 0");
    expect(message((o) => (o.level = -2000))).toBe("level must be from -1024 to 3071, got -2000");
    // runs from before it was a setting
    expect(message((o) => delete (o as { level?: number }).level)).toBe(
      "level must be from -1024 to 3071, got nothing",
    );
    // a discriminator deeper than the network is what limits the size
    expect(message((o) => Object.assign(o.kidney, { size: 48, depth: 4, discriminatorDepth: 5 }))).toBe(
      "kidney.size must be a multiple of 32 for depth 5, got 48",
    );
  });
});

describe("setOption", () => {
  test("reads numbers, booleans, words and the two kinds of slicesPerEpoch", () => {
    const o = presetOptions("demo");
    setOption(o, "masses.epochs", "20");
    setOption(o, "kidney.difficulty", "false");
    setOption(o, "roi.from", "none");
    setOption(o, "coarse.slicesPerEpoch", "organ");
    setOption(o, "tumor.slicesPerEpoch", "12");
    setOption(o, "masses.augment.rotate", "0.25");
    setOption(o, "window", "400");
    setOption(o, "level", "-40.5");
    expect([o.masses.epochs, o.kidney.difficulty, o.roi.from]).toEqual([20, false, "none"]);
    expect([o.window, o.level]).toEqual([400, -40.5]);
    expect([o.coarse.slicesPerEpoch, o.tumor.slicesPerEpoch, o.masses.augment.rotate]).toEqual(["organ", 12, 0.25]);
    expect(o.kidney.epochs).not.toBe(20);
  });

  test.each([
    ["kidney.nonsense", "1", /--set kidney.nonsense: must name a setting/],
    ["kidney", "1", /--set kidney: must name a setting/],
    ["__proto__.polluted", "1", /must name a setting/],
    ["kidney.width", "wide", "--set kidney.width must be a number, got wide"],
    ["kidney.width", "", "--set kidney.width must be a number, got "],
    ["window", "5000", "window must be from 1 to 4096, got 5000"],
    ["level", "soft", "--set level must be a number, got soft"],
    ["kidney.prior", "yes", "--set kidney.prior must be true or false, got yes"],
    ["kidney.init", "zeros", "kidney.init must be one of pytorch, normal, got zeros"],
    ["coarse.slicesPerEpoch", "some", "coarse.slicesPerEpoch must be all, organ or a number above 0, got some"],
  ])("%s=%s is refused", (path, text, message) => {
    expect(() => setOption(presetOptions("demo"), path, text)).toThrow(message);
  });
});

describe("learningRate", () => {
  const base = { ...presetOptions("msalds").kidney, epochs: 10, restartEvery: 4 };
  test("follows the schedule that is named", () => {
    expect(learningRate(1, { ...base, schedule: "step", gamma: 0.5 })(3)).toBe(0.125);
    expect(learningRate(1, { ...base, schedule: "constant" })(9)).toBe(1);
    expect(learningRate(1, { ...base, schedule: "cosine" })(5)).toBeCloseTo(0.5, 12);
    const restarts = learningRate(1, { ...base, schedule: "restarts" });
    expect([restarts(0), restarts(2), restarts(4)].map((v) => v.toFixed(6))).toEqual([
      "1.000000",
      "0.500000",
      "1.000000",
    ]);
  });
});
