// gather.wgsl: a copy that walks x with one stride per output dimension: permute, expand, flip, slices with a step.
//
//   y[c0, ..., c5] = x[BASE + c0 * S0 + ... + c5 * S5]
//
// x         [n] T     y  [c0, N1, ..., N5] T, contiguous; the size of the first dimension follows from arrayLength
// T         a scalar, or a vector of four where the last dimension is contiguous in x (sizes and strides counted in T)
// grid      linear, one thread per element of y, folded at 65,535 workgroups
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/gather.ts
alias T = f32;
const N1: u32 = 1;
const N2: u32 = 1;
const N3: u32 = 1;
const N4: u32 = 1;
const N5: u32 = 1;
const S0: i32 = 1;    // 0 repeats, negative walks backwards
const S1: i32 = 0;
const S2: i32 = 0;
const S3: i32 = 0;
const S4: i32 = 0;
const S5: i32 = 0;
const BASE: i32 = 0;
const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let c5 = i32(i % N5);
  let r4 = i / N5;
  let c4 = i32(r4 % N4);
  let r3 = r4 / N4;
  let c3 = i32(r3 % N3);
  let r2 = r3 / N3;
  let c2 = i32(r2 % N2);
  let r1 = r2 / N2;
  let c1 = i32(r1 % N1);
  let c0 = i32(r1 / N1);
  y[i] = x[BASE + c0 * S0 + c1 * S1 + c2 * S2 + c3 * S3 + c4 * S4 + c5 * S5];
}
