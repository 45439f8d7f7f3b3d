// avg_pool.wgsl: the mean of each window, or its adjoint.
//
//   forward   y[p,o] = sum over the window o of x / divisor(o)
//   BACKWARD  y[p,i] = sum over the windows o that contain i of x[p,o] / divisor(o)      (x is dy, y is dx)
//   divisor   positions of the window inside the input, with PADDED inside input and padding
//
// x, y      [P, ID, IH, IW] and [P, OD, OH, OW] f32, or the other way round    P = N*C planes; 2-D is ID = OD = KD = 1
// grid      linear, one thread per element of y, folded; added in order, no atomics
// numerics  f32; added in order, then divided
// source    PyTorch, `avg_pool2d` and `avg_pool3d`
// used by src/kernels/pool.ts
const ID: i32 = 1;
const IH: i32 = 8;
const IW: i32 = 8;
const OD: i32 = 1;
const OH: i32 = 4;
const OW: i32 = 4;
const KD: i32 = 1;         // window
const KH: i32 = 2;
const KW: i32 = 2;
const SD: i32 = 1;         // stride
const SH: i32 = 2;
const SW: i32 = 2;
const PAD_D: i32 = 0;
const PAD_H: i32 = 0;
const PAD_W: i32 = 0;
const PADDED: bool = true;
const BACKWARD: bool = false;
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// First and one past the last input position of window o on one axis, cut to the input.
fn window(o: i32, size: i32, kernel: i32, stride: i32, pad: i32) -> vec2i {
  let start = o * stride - pad;
  return vec2i(max(start, 0), min(start + kernel, size));
}

// First and one past the last window that contains input position i on one axis.
fn windows(i: i32, size: i32, kernel: i32, stride: i32, pad: i32) -> vec2i {
  return vec2i(max(i + pad - kernel + stride, 0) / stride, min((i + pad) / stride + 1, size));
}

// Positions of window o that count on one axis.
fn count(o: i32, size: i32, kernel: i32, stride: i32, pad: i32) -> f32 {
  let start = o * stride - pad;
  if (PADDED) { return f32(min(start + kernel, size + pad) - start); }
  return f32(min(start + kernel, size) - max(start, 0));
}

fn divisor(d: i32, h: i32, w: i32) -> f32 {
  return count(d, ID, KD, SD, PAD_D) * count(h, IH, KH, SH, PAD_H) * count(w, IW, KW, SW, PAD_W);
}

fn forward(i: u32) -> f32 {
  let plane = i32(i) / (OD * OH * OW) * (ID * IH * IW);
  let od = i32(i) / (OH * OW) % OD;
  let oh = i32(i) / OW % OH;
  let ow = i32(i) % OW;
  let rd = window(od, ID, KD, SD, PAD_D);
  let rh = window(oh, IH, KH, SH, PAD_H);
  let rw = window(ow, IW, KW, SW, PAD_W);
  var sum = 0.0;
  for (var d = rd.x; d < rd.y; d++) {
    for (var h = rh.x; h < rh.y; h++) {
      for (var w = rw.x; w < rw.y; w++) { sum += x[plane + (d * IH + h) * IW + w]; }
    }
  }
  return sum / divisor(od, oh, ow);
}

fn backward(i: u32) -> f32 {
  let plane = i32(i) / (ID * IH * IW) * (OD * OH * OW);
  let rd = windows(i32(i) / (IH * IW) % ID, OD, KD, SD, PAD_D);
  let rh = windows(i32(i) / IW % IH, OH, KH, SH, PAD_H);
  let rw = windows(i32(i) % IW, OW, KW, SW, PAD_W);
  var sum = 0.0;
  for (var d = rd.x; d < rd.y; d++) {
    for (var h = rh.x; h < rh.y; h++) {
      for (var w = rw.x; w < rw.y; w++) { sum += x[plane + (d * OH + h) * OW + w] / divisor(d, h, w); }
    }
  }
  return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  if (BACKWARD) { y[i] = backward(i); } else { y[i] = forward(i); }
}
