// Matrix units: which configuration is taken; kernels type-checked on Dawn's null adapter, computed with emulated
// matrices on any adapter, and with real ones on a GPU that has them.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { close, empty, init, Rng, tensor, type Tensor } from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { specialise, type Consts, type Kernel } from "../../src/gpu/kernel.ts";
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import { currentProgram } from "../../src/gpu/program.ts";
import { chooseMatrixConfig, type SubgroupMatrixConfig } from "../../src/gpu/subgroupMatrix.ts";
import { axisConsts, ceilDiv, triple } from "../../src/kernels/axes.ts";
import { launchConvMatrix, launchMatmulMatrix, matrixConfig } from "../../src/kernels/matrixUnits.ts";
import { matrixTiles, tileRows, type MatrixTile } from "../../src/kernels/matrixUnits.ts";
import { matmulPrecision, setMatmulPrecision, type MatmulPrecision } from "../../src/kernels/precision.ts";
import { array, generate, type NdArray } from "../reference/array.ts";
import * as reference from "../reference/conv.ts";
import { matmul } from "../reference/matmul.ts";
import { emulateLastCall } from "./emulateMatrices.ts";

const config = (componentType: string, M: number, N: number, K: number, resultComponentType = "f32") => {
  return { componentType, resultComponentType, M, N, K };
};
const F32 = config("f32", 8, 8, 8); // Apple
const F16 = config("f16", 16, 16, 16); // NVIDIA, AMD
const INTEL = config("f16", 8, 16, 16);
const TALL = config("f16", 16, 8, 8); // all three sizes tell left from right

afterEach(() => setMatmulPrecision("highest"));

describe("the choice of a configuration", () => {
  test("f32 factors come first, f16 ones only where they are allowed, sums are f32", () => {
    expect(chooseMatrixConfig([F16, F32], { f16: true })).toBe(F32);
    expect(chooseMatrixConfig([F16, F32], { f16: false })).toBe(F32);
    expect(chooseMatrixConfig([F16], { f16: true })).toBe(F16);
    expect(chooseMatrixConfig([F16], { f16: false })).toBeNull();
    expect(
      chooseMatrixConfig([config("f16", 8, 8, 8, "f16"), config("i8", 16, 16, 32, "i32")], { f16: true }),
    ).toBeNull();
  });

  test("of several the adapter's first, and none of odd sizes", () => {
    expect(chooseMatrixConfig([INTEL, F16], { f16: true })).toBe(INTEL);
    expect(chooseMatrixConfig([config("f16", 16, 12, 16), F16], { f16: true })).toBe(F16);
    expect(chooseMatrixConfig([], { f16: true })).toBeNull();
  });

  test("the precision is one of two", () => {
    expect(matmulPrecision()).toBe("highest");
    setMatmulPrecision("high");
    expect(matmulPrecision()).toBe("high");
    expect(() => setMatmulPrecision("medium" as MatmulPrecision)).toThrow(
      'setMatmulPrecision: the precision must be "highest" or "high", got medium',
    );
  });
});

test("`enable f16;` stays in a kernel's text only where an alias is f16, and no line moves", () => {
  const text = (T: string) => specialise(wgsl.matmul_subgroup_matrix, { T });
  expect(text("f16")).toMatch(/^enable f16;/m);
  expect(text("f32")).not.toMatch(/^enable f16;/m);
  expect(text("f32").split("\n").length).toBe(text("f16").split("\n").length);
});

type Own = { info: object };

/** Lets `work` believe that the adapter has these configurations and limits. */
async function pretend<T>(
  { configs, lanes, limits = {} }: { configs: SubgroupMatrixConfig[]; lanes: number; limits?: object },
  work: () => T | Promise<T>,
): Promise<T> {
  const own = gpu() as unknown as Own;
  const { info } = own;
  const features = new Set([...gpu().info.features, "shader-f16"]);
  const known = gpu().info.limits;
  const names = ["maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX", "maxComputeWorkgroupStorageSize"];
  const own3 = Object.fromEntries(names.map((n) => [n, (known as unknown as Record<string, number>)[n]]));
  own.info = { ...info, features, subgroupMatrix: { maxLanes: lanes, configs }, limits: { ...own3, ...limits } };
  setMatmulPrecision("high");
  try {
    return await work();
  } finally {
    own.info = info;
    setMatmulPrecision("highest");
  }
}

const LARGE = {
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupStorageSize: 48 * 1024,
};

interface ConvCase {
  x: number[];
  w: number[];
  stride?: number | number[];
  padding?: number | number[];
  dilation?: number | number[];
  outputPadding?: number;
  groups?: number;
  bias?: boolean;
  transposed?: boolean;
}

const convolutions: Record<string, ConvCase> = {
  "one pixel": { x: [1, 1, 1, 1], w: [1, 1, 1, 1], bias: true },
  "20 to 17 channels": { x: [1, 20, 5, 7], w: [17, 20, 3, 3], bias: true, padding: 1 },
  "batch 3, 3-d": { x: [3, 2, 3, 5, 7], w: [20, 2, 3, 1, 3], padding: [1, 0, 1] },
  "stride, dilation, groups": {
    x: [2, 6, 12, 11],
    w: [10, 3, 3, 2],
    stride: [2, 1],
    dilation: [1, 3],
    groups: 2,
    bias: true,
  },
  "more channels than a tile": { x: [1, 3, 9, 9], w: [70, 3, 3, 3], padding: 1, bias: true },
  "transposed, stride 2 and 3": {
    x: [2, 5, 4, 3],
    w: [5, 7, 3, 3],
    stride: [2, 3],
    padding: 1,
    transposed: true,
    bias: true,
  },
  "transposed, groups": { x: [1, 4, 5, 4], w: [4, 3, 2, 2], stride: 2, groups: 2, outputPadding: 1, transposed: true },
};

const matmuls = [
  { M: 1, K: 1, N: 1 },
  { M: 16, K: 16, N: 32 },
  { M: 33, K: 47, N: 65, bias: true },
  { M: 70, K: 17, N: 130, transposeA: true },
  { M: 20, K: 40, N: 24, batch: 3, transposeB: true, bias: true },
];

/** Eighths up to 2: exact in f16, their products and sums exact in f32, so that results must be equal to the last bit. */
function eighths(shape: number[], rng: Rng): NdArray {
  return array(
    shape,
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (rng.integer(33) - 16) / 8),
  );
}

const upload = (a: NdArray): Tensor => tensor(Float32Array.from(a.data), { shape: [...a.shape] });

interface Prepared {
  kernel: Kernel;
  launch: () => Tensor;
  expected: NdArray;
}

function prepareMatmul(tile: MatrixTile, c: (typeof matmuls)[number], values = eighths): Prepared {
  const { M, K, N, batch = 1, transposeA = false, transposeB = false } = c;
  const rng = new Rng(M * N, "matrix");
  const [a, b, bias] = [values([batch, M, K], rng), values([batch, K, N], rng), values([N], rng)];
  const expected = matmul(a, b);
  if (c.bias) expected.data.forEach((v, i) => (expected.data[i] = v + bias.data[i % N]));
  const layout = {
    ...{ N, BATCH: batch, A_MATRICES: batch, BIAS: c.bias ? 1 : 0, A0: M * K, B0: K * N },
    ...(transposeA ? { AM: 1, AK: M } : { AM: K, AK: 1 }),
    ...(transposeB ? { BK: 1, BN: K } : { BK: N, BN: 1 }),
  };
  const swapped = (t: NdArray, [R, C]: number[]) =>
    array(
      [batch, C, R],
      t.data.map((_, i) => t.data[Math.floor(i / (R * C)) * R * C + (i % R) * C + (Math.floor(i / R) % C)]),
    );
  return {
    kernel: wgsl.matmul_subgroup_matrix,
    expected,
    launch: () => {
      const y = empty([batch, M, N]);
      const [at, bt] = [transposeA ? swapped(a, [M, K]) : a, transposeB ? swapped(b, [K, N]) : b];
      launchMatmulMatrix(tile, M, layout, { a: upload(at), b: upload(bt), bias: upload(bias), y }, 0);
      return y;
    },
  };
}

/** What conv_pack_weights.wgsl makes of w, for a transposed convolution with reversed taps. */
function packWeights(
  w: NdArray,
  { groups, cin, cout, transposed }: { groups: number; cin: number; cout: number; transposed: boolean },
  PACK: number,
): NdArray {
  const K = w.shape.slice(2).reduce((a, b) => a * b, 1);
  return generate([groups, ceilDiv(cout, PACK), K, cin, PACK], ([g, block, k, ci, m]) => {
    const co = block * PACK + m;
    if (co >= cout) return 0;
    const [first, tap] = transposed ? [(g * cin + ci) * cout + co, K - 1 - k] : [(g * cout + co) * cin + ci, k];
    return w.data[first * K + tap];
  });
}

function prepareConv(tile: MatrixTile, c: ConvCase): Prepared {
  const { groups = 1, transposed = false } = c;
  const rng = new Rng(c.x.length + c.w[0], "matrix");
  const [x, w] = [eighths(c.x, rng), eighths(c.w, rng)];
  const bias = eighths([transposed ? c.w[1] * groups : c.w[0]], rng);
  const expected = (transposed ? reference.convTranspose : reference.conv)(x, w, c.bias ? bias : null, c);
  const per = (v: number | number[] = 1, fill = 1) =>
    triple(typeof v === "number" ? c.x.slice(2).map(() => v) : v, fill);
  const [stride, dilation, kernel] = [per(c.stride), per(c.dilation), triple(c.w.slice(2), 1)];
  const ahead = per(c.padding ?? 0, 0);
  const padding = transposed
    ? triple(
        kernel.map((k, a) => (k - 1) * dilation[a] - ahead[a]),
        0,
      )
    : ahead;
  const fraction = transposed ? stride : triple([], 1);
  const [cin, cout] = transposed ? [c.w[0] / groups, c.w[1]] : [c.w[1], c.w[0] / groups];
  const output = triple(expected.shape.slice(2), 1);
  const consts = {
    ...{ G: groups, CIG: cin, COG: cout, BIAS: c.bias ? 1 : 0 },
    ...{ ...axisConsts("I", triple(c.x.slice(2), 1)), ...axisConsts("O", output), ...axisConsts("K", kernel) },
    ...{ ...axisConsts("S", transposed ? triple([], 1) : stride), ...axisConsts("PAD_", padding) },
    ...{ ...axisConsts("D", dilation), ...axisConsts("L", fraction) },
  };
  return {
    kernel: wgsl.conv_forward_subgroup_matrix,
    expected,
    launch: () => {
      const y = empty(expected.shape);
      const packed = packWeights(w, { groups, cin, cout, transposed }, tileRows(tile));
      const buffers = { x: upload(x), w: upload(packed), bias: upload(bias), y };
      launchConvMatrix(tile, { groups, cout, output, fraction }, consts, buffers, 0);
      return y;
    },
  };
}

/** Both kernels, every case. */
function prepareAll(tile: MatrixTile): [string, Prepared][] {
  return [
    ...matmuls.map((c): [string, Prepared] => [`matmul ${JSON.stringify(c)}`, prepareMatmul(tile, c)]),
    ...Object.entries(convolutions).map(([name, c]): [string, Prepared] => [`conv ${name}`, prepareConv(tile, c)]),
  ];
}

const show = ({ T, MM, NN, KK, WM, WN, TM, TN }: MatrixTile) => `${T} ${MM}x${NN}x${KK}, ${WM}x${WN} of ${TM}x${TN}`;

describe("on Dawn's null adapter, which type-checks and computes nothing", () => {
  beforeAll(() => init({ adapter: "null" }));
  afterAll(close);

  /** Everything that the compiler says. */
  async function messages(code: string): Promise<string[]> {
    gpu().device.pushErrorScope("validation");
    const module = gpu().device.createShaderModule({ code });
    const [error, info] = [await gpu().device.popErrorScope(), await module.getCompilationInfo()];
    const said = info.messages.map((m) => `${m.lineNum}:${m.linePos} ${m.type}: ${m.message}`);
    return error && said.length === 0 ? [error.message] : said;
  }

  /** Consts of a launch, without running it. */
  function recorded(work: () => void): Consts {
    const { calls, uploads } = currentProgram();
    work();
    const { consts } = calls.at(-1)!;
    calls.length = uploads.length = 0;
    return consts;
  }

  test("it has the feature, with no configuration: nothing is chosen", () => {
    const { subgroupMatrix, features } = gpu().info;
    expect(features.has("chromium-experimental-subgroup-matrix")).toBe(true);
    expect(subgroupMatrix).toEqual({ maxLanes: 128, configs: [] });
    setMatmulPrecision("high");
    expect(matrixConfig()).toBeNull();
    expect(matrixTiles(64, 64)).toEqual([]);
  });

  for (const c of [F32, F16, INTEL, TALL]) {
    const name = `${c.componentType} ${c.M}x${c.N}x${c.K}`;
    test(`both kernels compile without a warning for ${name}, every tile and shape`, async () => {
      const tiles = await pretend({ configs: [c], lanes: 32, limits: LARGE }, () => matrixTiles(512, 4096));
      expect(tiles.length).toBe(6);
      for (const tile of tiles)
        for (const [what, p] of prepareAll(tile).filter((_, i) => i % 2 === 1))
          expect(await messages(specialise(p.kernel, recorded(p.launch))), `${what}, ${show(tile)}`).toEqual([]);
    });

    test(`and become pipelines for ${name}, in workgroups that fit this adapter's subgroups`, async () => {
      const tiles = await pretend({ configs: [c], lanes: 128, limits: { maxComputeWorkgroupStorageSize: 16384 } }, () =>
        matrixTiles(512, 4096),
      );
      expect(tiles.length).toBe(2); // of 256 threads and of 128
      for (const tile of tiles)
        for (const [what, p] of prepareAll(tile).filter((_, i) => i % 3 === 0)) {
          const consts = recorded(p.launch);
          await gpu().pipelines.compile(p.kernel, consts, `${what} ${show(tile)}`);
        }
      const narrow = { ...tiles[0], SG: 32 };
      const consts = recorded(prepareAll(narrow)[0][1].launch);
      await expect(gpu().pipelines.compile(wgsl.matmul_subgroup_matrix, consts, name)).rejects.toThrow(/maxSubgroupSize/);
    });
  }

  test("a slip in types, sizes, strides, syntax or uniformity is refused", async () => {
    const [tile] = await pretend({ configs: [TALL], lanes: 32, limits: LARGE }, () => matrixTiles(512, 4096));
    const [matmulText, convText] = [prepareMatmul(tile, matmuls[2]), prepareConv(tile, convolutions["one pixel"])].map(
      (p) => specialise(p.kernel, recorded(p.launch)),
    );
    const slips: [RegExp, string, RegExp][] = [
      [
        /subgroup_matrix_left<T, KK, MM>/,
        "subgroup_matrix_left<T, MM, KK>",
        /no matching call to 'subgroupMatrixMultiplyAcc/,
      ],
      [
        /subgroup_matrix_right<T, NN, KK>/,
        "subgroup_matrix_left<T, NN, KK>",
        /no matching call to 'subgroupMatrixMultiplyAcc/,
      ],
      [
        /subgroupMatrixStore<row_major>\(&sh_y/,
        "subgroupMatrixStore<row_major>(&bias",
        /no matching call to 'subgroupMatrixStore/,
      ],
      [/sums\[0u\], NN\)/, "sums[0u], f32(NN))", /no matching call to 'subgroupMatrixStore/],
      [/sums\[0u\], NN\)/, "sums[0u], 1)", /stride/],
      [/subgroupMatrixStore<row_major>/, "subgroupMatrixStore<major>", /Unexpected template kind/],
      [/let multiplies = .*;/, "let multiplies = local < 5;", /must only be called from subgroup uniform control flow/],
      [/let row = .*;/, "let row = local;", /requires argument 1 to be uniform/],
    ];
    for (const text of [matmulText, convText]) {
      for (const [found, slip, complaint] of slips) {
        const broken = text.replace(found, slip);
        expect(broken, `${found} is there`).not.toBe(text);
        expect((await messages(broken)).join("\n"), slip).toMatch(complaint);
      }
    }
  });
});

describe("with emulated matrices, on any adapter", () => {
  beforeAll(() => init());
  afterAll(close);

  test("an adapter without the feature has no configuration, also with high precision", (context) => {
    if (gpu().info.subgroupMatrix) return context.skip("this adapter has matrix units; the tests below use them");
    expect(gpu().info.features.has("chromium-experimental-subgroup-matrix")).toBe(false);
    setMatmulPrecision("high");
    expect(matrixConfig()).toBeNull();
    expect(matrixTiles(64, 64)).toEqual([]);
    if (gpu().info.software) expect(gpu().info.subgroupMatrix).toBeNull();
  });

  test("tiles: small products get small ones, and all stay within the limits", async () => {
    const rule = (rows: number, columns: number) => {
      return pretend({ configs: [F16], lanes: 32, limits: LARGE }, () => matrixTiles(rows, columns).map(show)[0]);
    };
    expect(await rule(4096, 4096)).toBe("f16 16x16x16, 2x4 of 4x2");
    expect(await rule(64, 64)).toBe("f16 16x16x16, 1x1 of 1x2");
    expect(await rule(32, 65536)).toBe("f16 16x16x16, 1x4 of 2x2");
    const small = { ...LARGE, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 128 };
    const tiles = await pretend({ configs: [F16], lanes: 32, limits: small }, () => matrixTiles(4096, 4096));
    expect(tiles.map(show)).toContain("f16 16x16x16, 2x2 of 2x2");
    expect(tiles.every((t) => t.WM * t.WN * t.SG <= 128)).toBe(true);
  });

  const runs = [
    { c: F32, lanes: 32, layout: "1x2", real: 32 },
    { c: F16, lanes: 32, layout: "2x2", real: 16 }, // twice as many subgroups as there is work for
    { c: TALL, lanes: 32, layout: "1x1", real: 32 },
  ];
  for (const [run, { c, lanes, layout, real }] of runs.entries()) {
    test(`both kernels give exact results for ${c.componentType} ${c.M}x${c.N}x${c.K} in ${layout} subgroups of ${real} lanes`, async (context) => {
      if (c.componentType === "f16" && !gpu().info.features.has("shader-f16")) return context.skip("needs shader-f16");
      const tiles = await pretend({ configs: [c], lanes, limits: LARGE }, () => matrixTiles(100, 100));
      const tile = tiles.find((t) => `${t.WM}x${t.WN}` === layout)!;
      // A part of the cases each, because lavapipe compiles for seconds; matrix units run them all.
      for (const [what, { launch, expected }] of prepareAll(tile).filter((_, i) => i % runs.length === run)) {
        const y = launch();
        await emulateLastCall(real);
        expect([...(await y.read())], `${what}, ${show(tile)}`).toEqual([...expected.data]);
      }
    });
  }
});

describe("on matrix units: runs only where the adapter has chromium-experimental-subgroup-matrix with f32 sums, to be run on each GPU at hand", () => {
  beforeAll(() => init());
  afterAll(close);

  test("both kernels give the exact results for every configuration and tile", async (context) => {
    const configs = (gpu().info.subgroupMatrix?.configs ?? []).filter(
      (c) => chooseMatrixConfig([c], { f16: gpu().info.features.has("shader-f16") }) !== null,
    );
    if (configs.length === 0) return context.skip("this adapter has no matrix units with sums of f32");
    for (const c of configs) {
      const lanes = gpu().info.subgroupMatrix!.maxLanes;
      const tiles = await pretend({ configs: [c], lanes }, () => matrixTiles(100, 100));
      for (const tile of tiles)
        for (const [what, { launch, expected }] of prepareAll(tile))
          expect([...(await launch().read())], `${what}, ${show(tile)}`).toEqual([...expected.data]);
    }
  });
});
