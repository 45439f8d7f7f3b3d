// layer_norm_backward.wgsl: gradient of layer normalisation with respect to its input.
//
//   g = weight * dy     xhat = (x - mean) * rstd
//   dx = rstd * (g - mean over m of g - xhat * mean over m of g * xhat)
//
// x, dy, dx  [R, M] f32
// weight     [M] f32     bound to anything where HAS_WEIGHT is false
// saved      [R] vec2    mean and rstd
// grid       one workgroup per row, folded; a fixed tree
// numerics   f32; the two means in a fixed tree
// source     Ba et al. 2016, arXiv:1607.06450
// used by src/kernels/layerNorm.ts
const M: u32 = 64;         // values per row
const HAS_WEIGHT: bool = true;
const WG: u32 = 64;        // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> saved: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

var<workgroup> sh_sums: array<vec2<f32>, WG>;

fn g_at(r: u32, m: u32) -> f32 {
  if (HAS_WEIGHT) { return dy[r * M + m] * weight[m]; }
  return dy[r * M + m];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
  let r = group.y * groups.x + group.x;
  let t = local.x;
  if (r >= arrayLength(&saved)) { return; }          // the whole workgroup, so barriers stay uniform
  let s = saved[r];
  var sums = vec2<f32>(0.0);
  for (var m = t; m < M; m += WG) {
    let g = g_at(r, m);
    sums += vec2<f32>(g, g * (x[r * M + m] - s.x) * s.y);
  }
  sh_sums[t] = sums;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sums[t] += sh_sums[t + half]; }
  }
  workgroupBarrier();
  let means = sh_sums[0] / f32(M);
  for (var m = t; m < M; m += WG) {
    let hat = (x[r * M + m] - s.x) * s.y;
    dx[r * M + m] = s.y * (g_at(r, m) - means.x - hat * means.y);
  }
}
