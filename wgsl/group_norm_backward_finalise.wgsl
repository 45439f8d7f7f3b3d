// group_norm_backward_finalise.wgsl: the coefficients of dx for group and instance normalisation.
//
//   S1 = sum weight * g    S2 = sum weight * g * (x - mean)    over the CG channels of a group
//   coef = rstd * (weight, -rstd^2 * S2 / M, -S1 / M)          M values per group
//
// partial   [N, C, T] vec2   sum g and sum g * (x - mean) of a slice
// saved     [N, C] vec4      mean, scale = rstd * weight, bias, rstd
// coef      [N, C] vec4      dx = coef.x * g + coef.y * (x - mean) + coef.z
// grid      one workgroup per (n, group), folded; a fixed tree
// numerics  f32; slices are joined in a fixed tree
// source    Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
const SIZE: u32 = 256;     // values per plane
const T: u32 = 4;          // slices per plane
const CG: u32 = 1;         // channels per group
const WG: u32 = 64;        // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> coef: array<vec4<f32>>;

var<workgroup> sh_sums: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
  let first = (group.y * groups.x + group.x) * CG;   // plane
  let t = local.x;
  if (first >= arrayLength(&saved)) { return; }      // the whole workgroup, so barriers stay uniform
  var sums = vec2<f32>(0.0);
  for (var i = t; i < CG * T; i += WG) { sums += saved[first + i / T].y * partial[first * T + i]; }
  sh_sums[t] = sums;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sums[t] += sh_sums[t + half]; }
  }
  workgroupBarrier();
  sums = sh_sums[0] * (1.0 / f32(CG * SIZE));        // already times rstd, which scale contains
  for (var j = t; j < CG; j += WG) {
    let s = saved[first + j];
    coef[first + j] = vec4<f32>(s.y, -s.w * s.w * sums.y, -sums.x, 0.0);
  }
}
