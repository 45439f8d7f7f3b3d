// batch_norm_finalise.wgsl: per-channel moments from the slices of norm_moments.wgsl, and PyTorch's running update.
//
//   var = sum of squared deviations / count          rstd = 1 / sqrt(var + EPS)
//   running = (1 - MOMENTUM) * running + MOMENTUM * (mean, var * count / (count - 1))
//   without TRAINING mean and var are the running ones, which stay as they are
//   a channel whose moments are not finite leaves its running ones as they are: they would never recover
//
// partial       [N, C, T] vec2    mean and sum of squared deviations of a slice
// weight, bias  [C] f32           bound to anything where HAS_WEIGHT, HAS_BIAS are false
// saved         [C] vec4          mean, scale = rstd * weight, bias, rstd
// grid          one workgroup per channel; Chan's rule over a fixed tree, so the bits repeat
// numerics      no cancellation for large means; biased variance, unbiased in the running one
// source        Ioffe and Szegedy 2015, arXiv:1502.03167
// used by src/kernels/norm.ts
const LANES: u32 = 4;      // values per unit
const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;
const TRAINING: bool = true;
const TRACK: bool = true;  // update the running statistics
const HAS_WEIGHT: bool = true;
const HAS_BIAS: bool = true;
const WG: u32 = 64;        // threads per workgroup

struct Planes {
  units: u32,      // per plane
  slices: u32,     // per plane
  channels: u32,
  half: u32,       // of the threads that have a sum, rounded up; a number from outside keeps the tree a loop: little code
}

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_var: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<vec4<f32>>;
var<immediate> p: Planes;

struct Moments { count: f32, mean: f32, squares: f32 }

var<workgroup> sh_part: array<Moments, WG>;

fn join(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  if (b.count == 0.0) { return a; }
  let share = b.count / count;
  let d = b.mean - a.mean;
  return Moments(count, a.mean + d * share, a.squares + b.squares + d * d * a.count * share);
}

// By the exponent bits: a compiler may take it that there are no infinities.
fn is_finite(v: f32) -> bool {
  return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

fn store(c: u32, mean: f32, variance: f32) {
  let rstd = 1.0 / sqrt(variance + EPS);
  var w = 1.0;
  var b = 0.0;
  if (HAS_WEIGHT) { w = weight[c]; }
  if (HAS_BIAS) { b = bias[c]; }
  saved[c] = vec4<f32>(mean, rstd * w, b, rstd);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let c = group.x;
  let t = local.x;
  if (!TRAINING) {
    if (t == 0) { store(c, running_mean[c], running_var[c]); }
    return;
  }
  let slices = arrayLength(&partial) / p.channels;
  var m = Moments(0.0, 0.0, 0.0);
  for (var i = t; i < slices; i += WG) {
    let slice = i % p.slices;
    let part = partial[((i / p.slices) * p.channels + c) * p.slices + slice];
    m = join(m, Moments(f32((p.units - slice + p.slices - 1) / p.slices * LANES), part.x, part.y));
  }
  sh_part[t] = m;
  for (var half = p.half; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_part[t] = join(sh_part[t], sh_part[t + half]); }
  }
  if (t != 0) { return; }
  m = sh_part[0];
  store(c, m.mean, m.squares / m.count);
  if (TRACK && is_finite(m.mean) && is_finite(m.squares)) {
    running_mean[c] = (1.0 - MOMENTUM) * running_mean[c] + MOMENTUM * m.mean;
    running_var[c] = (1.0 - MOMENTUM) * running_var[c] + MOMENTUM * (m.squares / (m.count - 1.0));
  }
}
