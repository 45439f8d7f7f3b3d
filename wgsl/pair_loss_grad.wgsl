// pair_loss_grad.wgsl: the gradient of pair_loss.wgsl with respect to the prediction.
//
//   dx[i] = SIGN * dy * scale * weight * loss'(x[i], t[i])
//
// x, t, weight, pos_weight, OP, A, B   as in pair_loss.wgsl
// total     [4] f32   sums left by loss_finish.wgsl; scale = 1 / total[1] when MODE = 2 (mean), else 1
// dy        MODE 0: [n] f32;  MODE 1 (sum) and 2 (mean): [1] f32
// dx        [n] f32   SIGN = -1 gives the gradient with respect to the target, for losses of x - t
// grid      linear, one thread per element, folded at 65,535 workgroups
// numerics  softplus and sigmoid from exp(-|x|); PyTorch's bound of 1e-12 in bce
// source    PyTorch's losses; focal: Lin et al. 2017, arXiv:1708.02002
// used by src/kernels/loss/pair.ts

const WG: u32 = 64;            // threads per workgroup
const OP: u32 = 0;
const MODE: u32 = 2;
const WEIGHTED: bool = false;
const POSITIVE: bool = false;
const SIGN: f32 = 1.0;
const A: f32 = 1.0;            // smooth L1: beta; focal: gamma
const B: f32 = 0.25;           // focal: alpha
const WEIGHT_HIGH: vec3u = vec3u(1, 4294967295, 0);
const WEIGHT_LOW: vec3u = vec3u(1, 4294967295, 1);
const POS_HIGH: vec3u = vec3u(1, 4294967295, 0);
const POS_LOW: vec3u = vec3u(1, 4294967295, 1);

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> pos_weight: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

fn mapped(i: u32, high: vec3u, low: vec3u) -> u32 {
  return i / high.x % high.y * high.z + i / low.x % low.y * low.z;
}

fn log1p(e: f32) -> f32 {
  let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * 0.2))));
  return select(log(max(1.0 + e, 1e-38)), series, abs(e) < 0.03);
}

fn softplus(v: f32) -> f32 { return max(v, 0.0) + log1p(exp(-abs(v))); }

fn sigmoid(v: f32) -> f32 {
  let e = exp(-abs(v));
  return select(e, 1.0, v >= 0.0) / (1.0 + e);
}

fn slope(v: f32, target_value: f32, positive: f32) -> f32 {
  let d = v - target_value;
  switch OP {
    case 0: { return 2.0 * d; }
    case 1: { return sign(d); }
    case 2: { return select(sign(d), d / max(A, 1e-30), abs(d) < A); }
    case 3: { return d / max(v * (1.0 - v), 1e-12); }   // PyTorch's bound
    case 4: { return (1.0 - target_value) * sigmoid(v) - positive * target_value * sigmoid(-v); }
    default: {
      let p = sigmoid(v);
      let rest = sigmoid(-v);
      let missed = max(target_value * rest + (1.0 - target_value) * p, 1e-20);
      let ce = (1.0 - target_value) * softplus(v) + target_value * softplus(-v);
      let alpha = B * target_value + (1.0 - B) * (1.0 - target_value);
      let power = pow(missed, A);
      let by_power = A / missed * (1.0 - 2.0 * target_value) * p * rest * ce;
      return alpha * power * (by_power + (1.0 - target_value) * p - target_value * rest);
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dx)) { return; }
  var scale = SIGN;
  switch MODE {
    case 0: { scale *= dy[i]; }
    case 1: { scale *= dy[0]; }
    default: { scale *= dy[0] / total[1]; }
  }
  if (WEIGHTED) { scale *= weight[mapped(i, WEIGHT_HIGH, WEIGHT_LOW)]; }
  var positive = 1.0;
  if (POSITIVE) { positive = pos_weight[mapped(i, POS_HIGH, POS_LOW)]; }
  dx[i] = scale * slope(x[i], t[i], positive);
}
