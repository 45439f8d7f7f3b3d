// group_norm_finalise.wgsl: moments per group of channels of one sample, from the slices of norm_moments.wgsl.
//
//   var = sum of squared deviations / count          rstd = 1 / sqrt(var + EPS)
//
// partial       [N, C, T] vec2    mean and sum of squared deviations of a slice
// weight, bias  [C] f32           bound to anything where HAS_WEIGHT, HAS_BIAS are false
// saved         [N, C] vec4       mean, scale = rstd * weight, bias, rstd
// grid          one workgroup per (n, group), folded; Chan's rule over a fixed tree
// numerics      no cancellation for large means; biased variance
// source        Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
const LANES: u32 = 4;      // values per unit
const UNITS: u32 = 64;     // units per plane
const T: u32 = 4;          // slices per plane
const C: u32 = 1;          // channels
const CG: u32 = 1;         // channels per group
const EPS: f32 = 1e-5;
const HAS_WEIGHT: bool = true;
const HAS_BIAS: bool = true;
const WG: u32 = 64;        // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> saved: array<vec4<f32>>;

struct Moments { count: f32, mean: f32, squares: f32 }

var<workgroup> sh_part: array<Moments, WG>;

fn join(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  if (b.count == 0.0) { return a; }
  let share = b.count / count;
  let d = b.mean - a.mean;
  return Moments(count, a.mean + d * share, a.squares + b.squares + d * d * a.count * share);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
  let first = (group.y * groups.x + group.x) * CG;   // plane
  let t = local.x;
  if (first >= arrayLength(&saved)) { return; }      // the whole workgroup, so barriers stay uniform
  var m = Moments(0.0, 0.0, 0.0);
  for (var i = t; i < CG * T; i += WG) {
    let p = partial[first * T + i];
    m = join(m, Moments(f32((UNITS - i % T + T - 1) / T * LANES), p.x, p.y));
  }
  sh_part[t] = m;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_part[t] = join(sh_part[t], sh_part[t + half]); }
  }
  workgroupBarrier();
  m = sh_part[0];
  let rstd = 1.0 / sqrt(m.squares / m.count + EPS);
  for (var j = t; j < CG; j += WG) {
    let c = (first + j) % C;
    var w = 1.0;
    var b = 0.0;
    if (HAS_WEIGHT) { w = weight[c]; }
    if (HAS_BIAS) { b = bias[c]; }
    saved[first + j] = vec4<f32>(m.mean, rstd * w, b, rstd);
  }
}
