// One synthetic patient: every organ is an analytic shape in mm, so the label of a point is exact.
//
// Coordinates: x to the right of the picture (the patient's left), y to posterior, z to inferior; the origin is the
// middle of the body. Intensities are plausible Hounsfield units of a contrast-enhanced scan. Nothing here comes from
// a patient.
import type { Rng } from "../random.ts";

/** HU and label (0 background, 1 kidney, 2 tumour, 3 cyst) of one point. */
export interface Point {
  hu: number;
  label: number;
}

interface Ellipsoid {
  x: number;
  y: number;
  z: number; // centre, mm
  a: number;
  b: number;
  c: number; // half axes along its own x, y, z, mm
  cos: number;
  sin: number; // rotation in the axial plane
  lean: number; // shift of the centre in x per mm of z: kidneys stand oblique
}

interface Kidney {
  body: Ellipsoid;
  side: 1 | -1; // +1 on the right of the picture
  cortex: number;
  medulla: number; // HU
  pyramids: number;
  phase: number;
  sinus: Ellipsoid;
}

interface Lesion {
  shape: Ellipsoid;
  label: 2 | 3;
  hu: number;
  core: number; // HU of the middle
  lobes: number;
  phase: number;
}

interface Loop {
  x: number;
  y: number;
  z: number;
  r: number;
  content: number;
  gasLevel: number;
}

/** All the parameters of one patient. */
export interface Anatomy {
  body: { a: number; b: number; fat: number; square: number };
  spine: { y: number; r: number; disc: number; phase: number };
  ribs: { first: number; slope: number; count: number };
  liver: Ellipsoid;
  lobe: Ellipsoid;
  spleen: Ellipsoid;
  stomach: Ellipsoid;
  gallbladder: Ellipsoid;
  aorta: { x: number; y: number; r: number; hu: number };
  cava: { x: number; y: number; r: number; hu: number };
  kidneys: Kidney[];
  lesions: Lesion[];
  loops: Loop[];
  organs: { liver: number; spleen: number; muscle: number };
  texture: number;
}

/** Draws a patient. The same `rng` gives the same patient. */
export function drawAnatomy(rng: Rng): Anatomy {
  const b = rng.range(98, 122);
  const a = b * rng.range(1.3, 1.48);
  const spineY = b * rng.range(0.4, 0.46);
  const fat = rng.range(8, 24);
  const kidneys = ([-1, 1] as const).map((side) =>
    drawKidney(rng.fork(side === 1 ? "kidney left" : "kidney right"), side, spineY),
  );
  return {
    body: { a, b, fat, square: rng.range(0.1, 0.45) },
    spine: { y: spineY, r: rng.range(18, 22), disc: rng.range(30, 36), phase: rng.range(0, 30) },
    ribs: { first: rng.range(-0.2, 0.2), slope: rng.range(0.006, 0.009), count: 7 },
    liver: ellipsoid({
      x: -0.42 * a,
      y: -0.08 * b,
      z: -75,
      a: 0.44 * a,
      b: 0.68 * b,
      c: rng.range(95, 125),
      angle: 0.25,
    }),
    lobe: ellipsoid({
      x: -0.05 * a,
      y: -0.42 * b,
      z: -80,
      a: 0.42 * a,
      b: 0.3 * b,
      c: rng.range(55, 75),
      angle: -0.15,
    }),
    spleen: ellipsoid({ x: 0.66 * a, y: 0.2 * b, z: -80, a: 0.17 * a, b: 0.42 * b, c: rng.range(45, 70), angle: -0.3 }),
    stomach: ellipsoid({
      x: 0.36 * a,
      y: -0.38 * b,
      z: -70,
      a: 0.25 * a,
      b: 0.28 * b,
      c: rng.range(45, 60),
      angle: 0.4,
    }),
    gallbladder: ellipsoid({ x: -0.36 * a, y: -0.4 * b, z: 0, a: 15, b: 19, c: 26, angle: 0.3 }),
    aorta: { x: rng.range(5, 12), y: spineY - rng.range(32, 36), r: rng.range(8.5, 12), hu: rng.range(190, 270) },
    cava: { x: -rng.range(15, 20), y: spineY - rng.range(30, 34), r: rng.range(9, 12), hu: rng.range(120, 170) },
    kidneys,
    lesions: drawLesions(rng.fork("lesions"), kidneys),
    loops: drawLoops(rng.fork("bowel"), a, b, fat),
    organs: { liver: rng.range(95, 120), spleen: rng.range(115, 140), muscle: rng.range(50, 65) },
    texture: rng.range(0, 100),
  };
}

function drawKidney(rng: Rng, side: 1 | -1, spineY: number): Kidney {
  const angle = side * rng.range(0.45, 0.8); // the hilum looks forward and inward
  const scale = rng.range(0.88, 1.12);
  const x = side * rng.range(60, 70);
  const y = spineY - rng.range(-8, 6);
  const z = rng.range(-12, 12) + (side === -1 ? 12 : 0); // the right kidney lies lower
  const lean = side * rng.range(0.12, 0.25);
  const a = 26 * scale;
  const body = ellipsoid({ x, y, z, a, b: 31 * scale, c: rng.range(50, 60) * scale, angle, lean });
  const inward = -side * a * rng.range(0.75, 0.95);
  const sinus = ellipsoid({
    x: x + inward * Math.cos(angle),
    y: y + inward * Math.sin(angle),
    z,
    a: 15 * scale,
    b: 12 * scale,
    c: 24 * scale,
    angle,
    lean,
  });
  const cortex = rng.range(165, 210);
  return { body, side, sinus, cortex, medulla: cortex - rng.range(30, 75), pyramids: 7, phase: rng.range(0, 6.28) };
}

function drawLesions(rng: Rng, kidneys: readonly Kidney[]): Lesion[] {
  const lesions: Lesion[] = [];
  const cysts = rng.uniform() < 0.6 ? 1 + rng.integer(2) : 0;
  for (let i = 0; i < cysts; i++) lesions.push(drawLesion(rng, kidneys, 3, rng.range(6, 18)));
  const tumors = rng.uniform() < 0.2 ? 2 : 1;
  for (let i = 0; i < tumors; i++) lesions.push(drawLesion(rng, kidneys, 2, rng.range(16, 36)));
  return lesions; // a later one covers an earlier one
}

/** A lesion on the outer surface of a kidney, partly inside it. */
function drawLesion(rng: Rng, kidneys: readonly Kidney[], label: 2 | 3, r: number): Lesion {
  const { body, side } = kidneys[rng.integer(kidneys.length)];
  const around = rng.range(-1.3, 1.3) + (side === 1 ? 0 : Math.PI); // away from the hilum
  const height = rng.range(-0.7, 0.7);
  const depth = rng.range(0.75, 1.0) * Math.sqrt(1 - height * height);
  const u = body.a * depth * Math.cos(around);
  const v = body.b * depth * Math.sin(around);
  const z = body.z + height * body.c;
  const shape = ellipsoid({
    x: body.x + u * body.cos - v * body.sin + body.lean * (z - body.z),
    y: body.y + u * body.sin + v * body.cos,
    z,
    a: r * rng.range(0.9, 1.1),
    b: r * rng.range(0.9, 1.1),
    c: r * rng.range(0.85, 1.15),
    angle: rng.range(0, 3),
  });
  const hu = label === 3 ? rng.range(0, 18) : rng.range(70, 125);
  const core = label === 2 && r > 18 ? rng.range(25, 60) : hu; // large tumours are necrotic in the middle
  return { shape, label, hu, core, lobes: 3 + rng.integer(4), phase: rng.range(0, 6.28) };
}

function drawLoops(rng: Rng, a: number, b: number, fat: number): Loop[] {
  const loops: Loop[] = [];
  for (let i = 0; i < 90; i++) {
    const angle = rng.range(0, 2 * Math.PI);
    const distance = Math.sqrt(rng.uniform());
    const content = rng.uniform() < 0.3 ? -650 : rng.range(5, 45);
    loops.push({
      x: (0.72 * a - fat) * distance * Math.cos(angle),
      y: -0.22 * b + (0.6 * b - fat) * distance * Math.sin(angle),
      z: rng.range(-25, 130),
      r: rng.range(11, 19),
      content,
      gasLevel: rng.range(-0.4, 0.3),
    });
  }
  return loops;
}

/** HU and label of the point (x, y, z) in mm; fills `out` and returns it. */
export function sample(p: Anatomy, x: number, y: number, z: number, out: Point): Point {
  out.label = 0;
  const radius = superRadius(p.body, 0, x, y);
  if (radius > 1) {
    out.hu = couch(p, x, y);
    return out;
  }
  const angle = Math.atan2(y / p.body.b, x / p.body.a);
  const inner = superRadius(p.body, p.body.fat * (1 + 0.25 * Math.cos(2 * angle)), x, y);
  if (inner > 1)
    out.hu = radius > 0.96 ? 40 : -105 + wave(p, x, y, z, 9) * 8; // skin, then fat
  else out.hu = inside(p, x, y, z, inner, angle, out);
  return out;
}

function inside(p: Anatomy, x: number, y: number, z: number, inner: number, angle: number, out: Point): number {
  const bone = spine(p, x, y, z);
  if (bone !== null) return bone;
  if (inner > 0.83) return wall(p, z, inner, angle) + wave(p, x, y, z, 6) * 8;
  const renal = kidneyPoint(p, x, y, z, out);
  if (renal !== null) return renal;
  const back = backMuscle(p, x, y, z);
  if (back !== null) return back + wave(p, x, y, z, 5) * 10;
  const vessel = vessels(p, x, y);
  if (vessel !== null) return vessel;
  return organ(p, x, y, z) ?? -98 + wave(p, x, y, z, 12) * 10; // else fat
}

function organ(p: Anatomy, x: number, y: number, z: number): number | null {
  if (level(p.gallbladder, x, y, z) < 1) return 8;
  if (level(p.liver, x, y, z) < 1 || level(p.lobe, x, y, z) < 1) {
    const portal = wave(p, x * 1.3, y * 1.3, z * 0.8, 16);
    return p.organs.liver + (portal > 0.62 ? 45 : 0) + wave(p, x, y, z, 5) * 5;
  }
  if (level(p.spleen, x, y, z) < 1) return p.organs.spleen + wave(p, x, y, z, 5) * 5;
  const stomach = level(p.stomach, x, y, z);
  if (stomach < 1) return stomach > 0.8 ? 75 : y < p.stomach.y - 0.35 * p.stomach.b ? -850 : 22; // wall, gas above fluid
  for (const loop of p.loops) {
    if (Math.abs(x - loop.x) > loop.r) continue;
    const d = length(x - loop.x, y - loop.y, 0.7 * (z - loop.z)) / loop.r;
    if (d >= 1) continue;
    if (d > 0.72) return 65;
    return loop.content < 0 && y - loop.y > loop.gasLevel * loop.r ? 25 : loop.content;
  }
  return null;
}

/** Abdominal wall with ribs: short arcs that move around the body from slice to slice. */
function wall(p: Anatomy, z: number, inner: number, angle: number): number {
  const across = (inner - 0.91) / 0.06;
  for (let i = 0; i < p.ribs.count && across * across < 1; i++) {
    for (const side of [-1, 1]) {
      const at = Math.PI / 2 + side * (0.45 + i * 0.34 + p.ribs.first * 0.3 - p.ribs.slope * (z + 60));
      const along = wrap(angle - at) / 0.085;
      const d = along * along + across * across;
      if (d < 1 && z < 70 - 14 * i && Math.abs(wrap(angle - Math.PI / 2)) > 0.35) return d > 0.45 ? 480 : 190;
    }
  }
  return p.organs.muscle - (inner > 0.97 || inner < 0.845 ? 35 : 0);
}

function spine(p: Anatomy, x: number, y: number, z: number): number | null {
  const { r } = p.spine;
  const dy = y - p.spine.y;
  const body = length(x / (1.15 * r), dy / (0.9 * r));
  const inDisc = Math.abs(wrapLength(z + p.spine.phase, p.spine.disc)) < 4;
  if (body < 1) return inDisc ? 85 : body > 0.88 ? 420 : 170 + wave(p, x, y, z, 3) * 35;
  const canal = length(x / 11, (dy - 1.28 * r) / 8.5);
  if (canal < 1) return 28;
  if (canal < 1.4 && !inDisc) return 400;
  if (inDisc) return null;
  const process = length(x / 3.5, (dy - 2.1 * r) / 14);
  if (process < 1) return process > 0.7 ? 420 : 240;
  const transverse = length((Math.abs(x) - 26) / 16, (dy - 1.25 * r) / 4.5);
  return transverse < 1 ? 330 : null;
}

function backMuscle(p: Anatomy, x: number, y: number, z: number): number | null {
  const dy = y - p.spine.y;
  const erector = length((Math.abs(x) - 33) / 29, (dy - 40) / 17);
  if (erector < 1) return p.organs.muscle - (Math.abs(erector - 0.6) < 0.06 ? 45 : 0);
  const size = Math.max(4, 13 + 0.1 * z); // the psoas grows downwards
  if (length((Math.abs(x) - 24 - 0.8 * size) / size, (dy - 4) / (1.25 * size)) < 1) return p.organs.muscle + 5;
  const quadratus = length((Math.abs(x) - 66) / 20, (dy - 30) / 8);
  return quadratus < 1 && z > 0 ? p.organs.muscle : null;
}

function vessels(p: Anatomy, x: number, y: number): number | null {
  const aorta = length(x - p.aorta.x, y - p.aorta.y) / p.aorta.r;
  if (aorta < 1) return aorta > 0.86 ? 90 : p.aorta.hu;
  const cava = length((x - p.cava.x) / 1.25, y - p.cava.y) / p.cava.r;
  return cava < 1 ? p.cava.hu : null;
}

function kidneyPoint(p: Anatomy, x: number, y: number, z: number, out: Point): number | null {
  for (let i = p.lesions.length - 1; i >= 0; i--) {
    const hu = lesionPoint(p, p.lesions[i], x, y, z);
    if (hu === null) continue;
    out.label = p.lesions[i].label;
    return hu;
  }
  for (const kidney of p.kidneys) {
    const d = level(kidney.body, x, y, z);
    if (d >= 1) continue;
    const sinus = level(kidney.sinus, x, y, z);
    if (sinus < 1) return sinus < 0.16 ? 30 : sinus < 0.3 ? 120 : -85; // pelvis, vessel, fat: not kidney in the label
    out.label = 1;
    const depth = Math.sqrt(d);
    const around = Math.atan2(y - kidney.sinus.y, x - kidney.sinus.x);
    const pyramid = Math.cos(kidney.pyramids * around + kidney.phase + z * 0.08) > -0.25;
    return (depth < 0.78 && pyramid ? kidney.medulla : kidney.cortex) + wave(p, x, y, z, 4) * 8;
  }
  return null;
}

function lesionPoint(p: Anatomy, lesion: Lesion, x: number, y: number, z: number): number | null {
  const { shape } = lesion;
  const d = Math.sqrt(level(shape, x, y, z));
  if (d > 1.15) return null;
  // Tumours are lobed, cysts are round. The lobes fade towards the poles, where the angle means nothing.
  const around = Math.atan2(y - shape.y, x - shape.x);
  const lobes = 0.1 * Math.max(0, 1 - ((z - shape.z) / shape.c) ** 2);
  const edge =
    lesion.label === 3 ? 1 : 1 + lobes * Math.sin(lesion.lobes * around + lesion.phase + (z - shape.z) * 0.06);
  if (d >= edge) return null;
  if (lesion.label === 3) return lesion.hu;
  const mottle = wave(p, x, y, z, 4) * 18;
  return (d < 0.5 + 0.15 * wave(p, y, x, z, 6) ? lesion.core : lesion.hu) + mottle;
}

/** Table of the scanner: a thin curved shell below the body. */
function couch(p: Anatomy, x: number, y: number): number {
  const top = p.body.b + 7 - (x * x) / 2600;
  return Math.abs(x) < 190 && y > top && y < top + 9 ? (y < top + 2.5 || y > top + 6.5 ? -300 : -880) : -1000;
}

interface EllipsoidOptions {
  x: number;
  y: number;
  z: number;
  a: number;
  b: number;
  c: number;
  angle: number;
  lean?: number;
}

function ellipsoid({ angle, lean = 0, ...rest }: EllipsoidOptions): Ellipsoid {
  return { ...rest, cos: Math.cos(angle), sin: Math.sin(angle), lean };
}

/** Math.hypot guards against overflow and is several times slower. */
function length(x: number, y: number, z = 0): number {
  return Math.sqrt(x * x + y * y + z * z);
}

/** Squared relative radius: below 1 inside. */
function level(e: Ellipsoid, x: number, y: number, z: number): number {
  const dz = z - e.z;
  if (dz > e.c || dz < -e.c) return 2; // outside at any x, y
  const dx = x - e.x - e.lean * dz;
  const dy = y - e.y;
  const u = (dx * e.cos + dy * e.sin) / e.a;
  const v = (dy * e.cos - dx * e.sin) / e.b;
  const w = dz / e.c;
  return u * u + v * v + w * w;
}

/** 1 on the outline `inset` mm inside the skin: between an ellipse (square = 0) and a rounded box. */
function superRadius(body: Anatomy["body"], inset: number, x: number, y: number): number {
  const u = (x * x) / (body.a - inset) ** 2;
  const v = (y * y) / (body.b - inset) ** 2;
  return (1 - body.square) * (u + v) + body.square * (u * u + v * v);
}

/** Smooth texture in [-1, 1] with features of about `size` mm. */
function wave(p: Anatomy, x: number, y: number, z: number, size: number): number {
  const s = 1 / size;
  const t = p.texture + size;
  const a = Math.sin(x * s + 1.7 * Math.sin(y * s * 0.8 + t)) + Math.sin(y * s * 1.1 + 1.3 * Math.sin(z * s * 0.5 + t));
  return 0.5 * (a * 0.7 + 0.6 * Math.sin((x - y) * s * 0.9 + z * s * 0.6 + 2 * t));
}

function wrap(angle: number): number {
  return wrapLength(angle, 2 * Math.PI);
}

function wrapLength(value: number, period: number): number {
  return value - period * Math.round(value / period);
}
