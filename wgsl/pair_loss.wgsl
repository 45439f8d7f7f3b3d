// pair_loss.wgsl: a loss of each pair of elements, or the partial sums of it.
//
//   y[i] = weight * loss(x[i], t[i])        OP chooses the loss, in the order of PAIR_LOSSES in pair.ts
//
// x, t      [n] f32   prediction (value, probability or logit) and target
// weight, pos_weight   broadcast to x by two (divisor, modulus, stride) maps each, read when WEIGHTED, POSITIVE
// y         REDUCE false: [n] f32;  true: [workgroups, 4] f32, (sum of losses, count, 0, 0) of each workgroup
// grid      up to 1,024 workgroups, threads stride over the elements
// numerics  softplus and sigmoid from exp(-|x|); logarithms cut at -100 as in PyTorch
// source    focal: Lin et al. 2017, arXiv:1708.02002
// used by src/kernels/loss/pair.ts

const WG: u32 = 256;           // threads per workgroup
const OP: u32 = 0;
const REDUCE: bool = true;
const WEIGHTED: bool = false;
const POSITIVE: bool = false;
const A: f32 = 1.0;            // smooth L1: beta; focal: gamma
const B: f32 = 0.25;           // focal: alpha
const WEIGHT_HIGH: vec3u = vec3u(1, 4294967295, 0);
const WEIGHT_LOW: vec3u = vec3u(1, 4294967295, 1);
const POS_HIGH: vec3u = vec3u(1, 4294967295, 0);
const POS_LOW: vec3u = vec3u(1, 4294967295, 1);
const_assert WG == 256;   // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> pos_weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sums: array<vec2f, WG>;

fn mapped(i: u32, high: vec3u, low: vec3u) -> u32 {
  return i / high.x % high.y * high.z + i / low.x % low.y * low.z;
}

// log(1 + e) for e > -1; the series keeps what 1 + e would round away.
fn log1p(e: f32) -> f32 {
  let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * 0.2))));
  return select(log(max(1.0 + e, 1e-38)), series, abs(e) < 0.03);
}

fn softplus(v: f32) -> f32 { return max(v, 0.0) + log1p(exp(-abs(v))); }

fn sigmoid(v: f32) -> f32 {
  let e = exp(-abs(v));
  return select(e, 1.0, v >= 0.0) / (1.0 + e);
}

// The logarithm of a probability given as p and 1 - p, at least -100.
fn log_of(p: f32, rest: f32) -> f32 {
  let direct = select(log(max(p, 1.2e-38)), log1p(-rest), rest < 0.03);
  return select(max(direct, -100.0), -100.0, p < 1.2e-38);
}

fn loss(v: f32, target_value: f32, positive: f32) -> f32 {
  let d = v - target_value;
  switch OP {
    case 0: { return d * d; }
    case 1: { return abs(d); }
    case 2: { return select(abs(d) - 0.5 * A, 0.5 * d * d / max(A, 1e-30), abs(d) < A); }
    case 3: { return -(target_value * log_of(v, 1.0 - v) + (1.0 - target_value) * log_of(1.0 - v, v)); }
    case 4: { return (1.0 - target_value) * softplus(v) + positive * target_value * softplus(-v); }
    default: {
      let p = sigmoid(v);
      let missed = max(target_value * sigmoid(-v) + (1.0 - target_value) * p, 1e-20);
      let ce = (1.0 - target_value) * softplus(v) + target_value * softplus(-v);
      return (B * target_value + (1.0 - B) * (1.0 - target_value)) * pow(missed, A) * ce;
    }
  }
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let n = arrayLength(&x);
  var sum = vec2f();
  for (var i = group.x * WG + local; i < n; i += groups.x * WG) {
    var positive = 1.0;
    if (POSITIVE) { positive = pos_weight[mapped(i, POS_HIGH, POS_LOW)]; }
    var value = loss(x[i], t[i], positive);
    if (WEIGHTED) { value *= weight[mapped(i, WEIGHT_HIGH, WEIGHT_LOW)]; }
    if (REDUCE) { sum += vec2f(value, 1.0); } else { y[i] = value; }
  }
  if (!REDUCE) { return; }
  sh_sums[local] = sum;
  workgroupBarrier();
  if (local < 16) {
    for (var k = local + 16; k < WG; k += 16) { sum += sh_sums[k]; }
    sh_sums[local] = sum;
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 16; k++) { sum += sh_sums[k]; }
    y[group.x * 4] = sum.x;
    y[group.x * 4 + 1] = sum.y;
    y[group.x * 4 + 2] = 0.0;
    y[group.x * 4 + 3] = 0.0;
  }
}
