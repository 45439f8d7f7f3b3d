// layer_norm.wgsl: zero mean and unit variance for every row.
//
//   y[r,m] = (x[r,m] - mean[r]) * rstd[r] * weight[m] + bias[m]      rstd = 1 / sqrt(var + EPS)
//
// x, y          [R, M] f32
// weight, bias  [M] f32     bound to anything where HAS_WEIGHT, HAS_BIAS are false
// saved         [R] vec2    mean and rstd, kept for the backward pass
// grid          one workgroup per row, folded
// numerics      two passes, biased variance, a fixed tree
// source        Ba et al. 2016, arXiv:1607.06450
// used by src/kernels/layerNorm.ts
const M: u32 = 64;         // values per row
const EPS: f32 = 1e-5;
const HAS_WEIGHT: bool = true;
const HAS_BIAS: bool = true;
const WG: u32 = 64;        // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> saved: array<vec2<f32>>;

var<workgroup> sh_sum: array<f32, WG>;

fn total(t: u32, value: f32) -> f32 {
  workgroupBarrier();
  sh_sum[t] = value;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sum[t] += sh_sum[t + half]; }
  }
  workgroupBarrier();
  return sh_sum[0];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
  let r = group.y * groups.x + group.x;
  let t = local.x;
  if (r >= arrayLength(&saved)) { return; }          // the whole workgroup, so barriers stay uniform
  var sum = 0.0;
  for (var m = t; m < M; m += WG) { sum += x[r * M + m]; }
  let mean = total(t, sum) / f32(M);
  sum = 0.0;
  for (var m = t; m < M; m += WG) {
    let d = x[r * M + m] - mean;
    sum += d * d;
  }
  let rstd = 1.0 / sqrt(total(t, sum) / f32(M) + EPS);
  if (t == 0) { saved[r] = vec2<f32>(mean, rstd); }
  for (var m = t; m < M; m += WG) {
    var v = (x[r * M + m] - mean) * rstd;
    if (HAS_WEIGHT) { v *= weight[m]; }
    if (HAS_BIAS) { v += bias[m]; }
    y[r * M + m] = v;
  }
}
