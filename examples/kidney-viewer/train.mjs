// npm run demo:model: trains the networks that come with the page, and puts them into model/.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { nn } from "wgrad";
import { checksum, ensurePhantom } from "wgrad/kits";

const { ct, out } = new Command("demo:model")
  .description("Trains the small networks of the kidney viewer on the synthetic phantom and one CT.")
  .requiredOption("--ct <folder>", "a CT with kidneys labelled 1: imaging.nii.gz and segmentation.nii.gz")
  .option("--out <folder>", "where data and run are kept", "runs/kidney-viewer")
  .parse()
  .opts();

const NOTE =
  "Trained on ten synthetic phantoms and one CT without contrast (3 mm, from TotalSegmentator, Apache-2.0), which it has " +
  "therefore seen: a demonstration, not a measurement.";
const COPIES = 6; // one CT weighs as much as half of the phantoms
const STAGES = ["coarse", "kidney", "masses", "tumor"];

/** Settings over the preset "phantom": larger slices, more steps, and contrast that varies. */
const varied = { "augment.brightness": 0.5, "augment.brightnessRange": 0.2 };
const settings = {
  coarse: { size: 96, epochs: 10, slicesPerEpoch: 320, "augment.zoom": 0.2, ...varied },
  kidney: { size: 64, epochs: 6, slicesPerEpoch: 160, ...varied },
  masses: { size: 48, epochs: 14, foreground: 0.9 },
  tumor: { size: 48, epochs: 16 },
};

const data = join(resolve(out), "data");
const run = join(resolve(out), "run");
await makeData();
train();
ship(join(import.meta.dirname, "model"));

/** The phantom, and the CT under several names. */
async function makeData() {
  await ensurePhantom(join(resolve(out), "phantom"));
  rmSync(data, { recursive: true, force: true });
  cpSync(join(resolve(out), "phantom"), data, { recursive: true });
  for (const mark of ["phantom.json", "README.md"]) rmSync(join(data, mark));
  for (let k = 0; k < COPIES; k++) cpSync(resolve(ct), join(data, `case_9000${k}`), { recursive: true });
}

function train() {
  const set = Object.entries(settings).flatMap(([stage, own]) =>
    Object.entries(own).flatMap(([name, value]) => ["--set", `${stage}.${name}=${value}`]),
  );
  const fixed = [
    "--preset",
    "phantom",
    "--fractions",
    "14:2:2",
    "--seed",
    "0",
    "--discriminators",
    "last",
    "--overwrite",
  ];
  const where = ["--data", data, "--dataset", "kits", "--data-note", NOTE, "--out", run];
  const command = join(import.meta.dirname, "../../dist/train-kits.js");
  const { status } = spawnSync(process.execPath, [command, ...where, ...fixed, ...set], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

/** The run as predict:kits takes it, without the place of its data, and with its weights in half precision. */
function ship(folder) {
  const facts = JSON.parse(readFileSync(join(run, "run.json"), "utf8"));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  Object.assign(facts.data, { root: "data", note: NOTE });
  writeFileSync(join(folder, "run.json"), `${JSON.stringify(facts, null, 2)}\n`);
  for (const stage of STAGES) {
    const file = join("checkpoints", stage, "best.safetensors");
    if (!existsSync(join(run, file))) continue;
    mkdirSync(join(folder, "checkpoints", stage), { recursive: true });
    writeFileSync(join(folder, file), halved(nn.decodeSafetensors(readFileSync(join(run, file))).tensors));
  }
}

/** A checkpoint file of these tensors, those of convolutions as F16, the few others as they are. */
function halved(tensors) {
  const unchecked = encode(tensors, {});
  return encode(tensors, { crc32: checksum(nn.decodeSafetensors(unchecked).tensors) });
}

function encode(tensors, metadata) {
  const header = { __metadata__: metadata };
  const parts = [];
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const half = shape.length > 1;
    const values = half ? Uint16Array.from(data, toHalf) : data;
    header[name] = { dtype: half ? "F16" : "F32", shape, data_offsets: [end, (end += values.byteLength)] };
    parts.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  }
  const text = JSON.stringify(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(8 * Math.ceil(text.length / 8)));
  return Buffer.concat([length, Buffer.from(text.padEnd(Number(length.readBigUInt64LE()))), ...parts]);
}

/** The bits of the nearest half-precision number, for |value| below 65504. */
function toHalf(value) {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  const sign = (bits >>> 16) & 0x8000;
  if (Math.abs(value) < 2 ** -14) return sign | Math.round(Math.abs(value) * 2 ** 24);
  const rounded = (bits & 0x7fffffff) + 0xfff + ((bits >>> 13) & 1);
  return sign | ((rounded >>> 13) - (112 << 10));
}
