// cross_entropy_grad.wgsl: the gradient of cross_entropy.wgsl with respect to the logits.
//
//   dx[n,c,s] = scale * lambda * (softmax(x)[c] * sum(q) - q[c])     q, lambda and the inputs as in cross_entropy.wgsl
//
// total     [4] f32   sums left by loss_finish.wgsl
// dy        MODE 0 (none): [N, S], scale = dy;  else [1]: MODE 1 (sum) dy, 2 (mean) dy / total[1],
//           3 (mean of lambda times mean of ce) dy * total[2] / total[1]^2, and lambda is left out
// dx        [N, C, S] f32, all written
// grid      linear over pixels, one thread for all classes of one, folded at 65,535 workgroups
// numerics  the softmax is computed again, largest logit subtracted
// source    PyTorch, `cross_entropy`; difficulty: MSALDS-UNet, equations 1 and 2
// used by src/kernels/loss/crossEntropy.ts, difficulty.ts

alias T = i32;                 // of the labels
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 2;
const S: u32 = 100;            // pixels per plane
const IGNORE: i32 = -100;
const SMOOTHING: f32 = 0.0;
const POWER: f32 = 2.0;
const MODE: u32 = 2;
const WEIGHTED: bool = false;
const DIFFICULTY: bool = false;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<T>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> confidence: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

fn weight_of(c: u32) -> f32 {
  if (WEIGHTED) { return weight[c]; }
  return 1.0;
}

fn difficulty(m: f32) -> f32 {
  let d = abs(1.0 - m);
  if (POWER == 2.0) { return d * d + d; }
  return pow(max(d, 1e-30), POWER) + d;
}

fn scale_of(i: u32) -> f32 {
  switch MODE {
    case 0: { return dy[i]; }
    case 1: { return dy[0]; }
    case 2: { return dy[0] / max(total[1], 1e-30); }
    default: { return dy[0] * (total[2] / max(total[1], 1e-30)) / max(total[1], 1e-30); }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&labels)) { return; }
  let first = i / S * (C * S) + i % S;
  let label = u32(labels[i]);
  if (label >= C || i32(label) == IGNORE) {
    for (var c = 0u; c < C; c++) { dx[first + c * S] = 0.0; }
    return;
  }
  var largest = x[first];
  var sum = 1.0;
  var all = weight_of(0);
  for (var c = 1u; c < C; c++) {
    let v = x[first + c * S];
    let m = max(largest, v);
    sum = sum * exp(largest - m) + exp(v - m);
    largest = m;
    if (SMOOTHING > 0.0) { all += weight_of(c); }
  }
  var scale = scale_of(i);
  if (DIFFICULTY && MODE != 3) { scale *= difficulty(confidence[i]); }
  let hard = (1.0 - SMOOTHING) * weight_of(label);
  var q_sum = hard;
  if (SMOOTHING > 0.0) { q_sum += SMOOTHING / f32(C) * all; }
  for (var c = 0u; c < C; c++) {
    var q = select(0.0, hard, c == label);
    if (SMOOTHING > 0.0) { q += SMOOTHING / f32(C) * weight_of(c); }
    dx[first + c * S] = scale * (exp(x[first + c * S] - largest) / sum * q_sum - q);
  }
}
