// nonfinite.wgsl: found[0] = 1 if any value of up to seven tensors is an infinity or NaN.
//
// x0 ... x6  f32, any sizes; one may stand in several places
// found      [1] u32   set, never cleared
// grid       one line, at most 65,535 workgroups; each thread checks every (threads)th value of each
// numerics   an infinity or NaN is known by its exponent bits, never by a comparison: a compiler may take it that there are none
// source     IEEE 754, binary32
// used by src/nn/nonfinite.ts

const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x0: array<f32>;
@group(0) @binding(1) var<storage, read> x1: array<f32>;
@group(0) @binding(2) var<storage, read> x2: array<f32>;
@group(0) @binding(3) var<storage, read> x3: array<f32>;
@group(0) @binding(4) var<storage, read> x4: array<f32>;
@group(0) @binding(5) var<storage, read> x5: array<f32>;
@group(0) @binding(6) var<storage, read> x6: array<f32>;
@group(0) @binding(7) var<storage, read_write> found: array<atomic<u32>>;

const EXPONENT: u32 = 0x7f800000;

fn is_bad(v: f32) -> bool {
  return (bitcast<u32>(v) & EXPONENT) == EXPONENT;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let threads = groups.x * WG;
  var bad = false;
  for (var i = id.x; i < arrayLength(&x0); i += threads) { bad = bad || is_bad(x0[i]); }
  for (var i = id.x; i < arrayLength(&x1); i += threads) { bad = bad || is_bad(x1[i]); }
  for (var i = id.x; i < arrayLength(&x2); i += threads) { bad = bad || is_bad(x2[i]); }
  for (var i = id.x; i < arrayLength(&x3); i += threads) { bad = bad || is_bad(x3[i]); }
  for (var i = id.x; i < arrayLength(&x4); i += threads) { bad = bad || is_bad(x4[i]); }
  for (var i = id.x; i < arrayLength(&x5); i += threads) { bad = bad || is_bad(x5[i]); }
  for (var i = id.x; i < arrayLength(&x6); i += threads) { bad = bad || is_bad(x6[i]); }
  if (bad) { atomicStore(&found[0], 1u); }
}
