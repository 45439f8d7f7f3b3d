// layer_norm_affine_backward.wgsl: weight and bias gradients of layer normalisation, over slices of the rows.
//
//   dweight[k,m] = sum of dy * (x - mean) * rstd      dbias[k,m] = sum of dy
//   over the rows k, k+SLICES, k+2*SLICES, ...
//
// x, dy           [R, M] f32
// saved           [R] vec2         mean and rstd
// dweight, dbias  [SLICES, M] f32  added up over SLICES afterwards
// grid            linear, one thread per (slice, m), folded; neighbours read neighbouring columns
// numerics        f32; each slice adds its rows in order
// source          Ba et al. 2016, arXiv:1607.06450
// used by src/kernels/layerNorm.ts
const M: u32 = 64;         // values per row
const SLICES: u32 = 1;
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> saved: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dbias: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dweight)) { return; }
  let m = i % M;
  var dw = 0.0;
  var db = 0.0;
  for (var r = i / M; r < arrayLength(&saved); r += SLICES) {
    let g = dy[r * M + m];
    dw += g * (x[r * M + m] - saved[r].x) * saved[r].y;
    db += g;
  }
  dweight[i] = dw;
  dbias[i] = db;
}
