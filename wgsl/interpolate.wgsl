// interpolate.wgsl: resizes every plane by nearest neighbour or linearly, or the adjoint of that.
//
//   forward   y[p,o] = sum over the taps of o of weight * x[p,tap]
//   BACKWARD  y[p,i] = sum over the outputs o that have i as a tap of weight * x[p,o]    (x is dy, y is dx)
//   source position of o on an axis: (A * o + B) / DEN, an exact fraction, cut to [0, I - 1]
//
// x, y      [P, ID, IH, IW] and [P, OD, OH, OW] f32, or the other way round    P = N*C planes; 2-D is ID = OD = 1
// grid      linear, PER elements of one row of y per thread, folded; added in order, no atomics
// numerics  positions in integers, so weights are exact at any size
// source    PyTorch, `interpolate`
// used by src/kernels/interpolate.ts
const ID: i32 = 1;
const IH: i32 = 8;
const IW: i32 = 8;
const OD: i32 = 1;
const OH: i32 = 16;
const OW: i32 = 16;
const AD: i32 = 0;
const AH: i32 = 2;
const AW: i32 = 2;
const BD: i32 = 0;
const BH: i32 = -1;
const BW: i32 = -1;
const DEN_D: i32 = 1;
const DEN_H: i32 = 4;
const DEN_W: i32 = 4;
const LINEAR: bool = true;
const BACKWARD: bool = false;
const PER: u32 = 4;        // a thread takes the columns c, c + W / PER, ... so that neighbours stay neighbours
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

struct Taps { low: i32, high: i32, weight: f32 }   // weight of high; low has the rest

fn taps(o: i32, size: i32, a: i32, b: i32, den: i32) -> Taps {
  let source = clamp(a * o + b, 0, (size - 1) * den);
  let low = i32(u32(source) / u32(den));     // unsigned: the cheaper division
  if (!LINEAR) { return Taps(low, low, 0.0); }
  return Taps(low, min(low + 1, size - 1), f32(source - low * den) / f32(den));
}

// First and last output on one axis that has input i as a tap.
fn outputs(i: i32, size: i32, out: i32, a: i32, b: i32, den: i32) -> vec2i {
  if (a == 0) { return vec2i(0, out - 1); }
  let below = select(i * den - b - 1, (i - 1) * den - b, LINEAR);   // a * o lies above this ...
  let above = (i + 1) * den - b;                                    // ... and below this
  var first = 0;
  var last = out - 1;
  if (i > 0 && below >= 0) { first = i32(u32(below) / u32(a)) + 1; }
  if (i < size - 1) { last = select(-1, min(last, i32(u32(above - 1) / u32(a))), above > 0); }
  return vec2i(first, last);
}

// Weight of input i in an output of outputs(i, ...): a tent around i, which equals what taps() gives.
fn weight_of(i: i32, o: i32, size: i32, a: i32, b: i32, den: i32) -> f32 {
  if (!LINEAR) { return 1.0; }
  return max(0.0, 1.0 - f32(abs(clamp(a * o + b, 0, (size - 1) * den) - i * den)) / f32(den));
}

fn forward(row: u32, column: u32) {
  let plane = i32(row / u32(OD * OH) * u32(ID * IH * IW));
  let d = taps(i32(row / u32(OH) % u32(OD)), ID, AD, BD, DEN_D);
  let h = taps(i32(row % u32(OH)), IH, AH, BH, DEN_H);
  let near = plane + d.low * (IH * IW);
  let far = plane + d.high * (IH * IW);
  for (var k = 0u; k < PER; k++) {
    let ow = column + k * (u32(OW) / PER);
    let w = taps(i32(ow), IW, AW, BW, DEN_W);
    var value = 0.0;
    if (LINEAR) {
      value = bilinear(near, h, w);
      if (ID > 1) { value = mix(value, bilinear(far, h, w), d.weight); }
    } else {
      value = x[near + h.low * IW + w.low];
    }
    y[row * u32(OW) + ow] = value;
  }
}

fn bilinear(slice: i32, h: Taps, w: Taps) -> f32 {
  let top = slice + h.low * IW;
  let bottom = slice + h.high * IW;
  let upper = mix(x[top + w.low], x[top + w.high], w.weight);
  let lower = mix(x[bottom + w.low], x[bottom + w.high], w.weight);
  return mix(upper, lower, h.weight);
}

fn backward(row: u32, column: u32) {
  let plane = i32(row / u32(ID * IH) * u32(OD * OH * OW));
  let d = i32(row / u32(IH) % u32(ID));
  let h = i32(row % u32(IH));
  let rd = outputs(d, ID, OD, AD, BD, DEN_D);
  let rh = outputs(h, IH, OH, AH, BH, DEN_H);
  for (var k = 0u; k < PER; k++) {
    let w = i32(column + k * (u32(IW) / PER));
    let rw = outputs(w, IW, OW, AW, BW, DEN_W);
    var sum = 0.0;
    for (var od = rd.x; od <= rd.y; od++) {
      let wd = weight_of(d, od, ID, AD, BD, DEN_D);
      for (var oh = rh.x; oh <= rh.y; oh++) {
        let wh = wd * weight_of(h, oh, IH, AH, BH, DEN_H);
        let start = plane + (od * OH + oh) * OW;
        for (var ow = rw.x; ow <= rw.y; ow++) {
          sum += wh * weight_of(w, ow, IW, AW, BW, DEN_W) * x[start + ow];
        }
      }
    }
    y[row * u32(IW) + u32(w)] = sum;
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y) / PER) { return; }
  const THREADS = u32(select(OW, IW, BACKWARD)) / PER;   // per row of y
  if (BACKWARD) { backward(i / THREADS, i % THREADS); } else { forward(i / THREADS, i % THREADS); }
}
