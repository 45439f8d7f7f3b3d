// dice_softmax_grad.wgsl: the gradient of an overlap loss, perhaps with cross entropy, to the logits of a softmax.
//
//   dp[c] = coef[row].x * t + coef[row].y * (1, or 2p where SQUARED)
//   dx[c] = dy * (p[c] * (dp[c] - sum over k of p[k] dp[k]) + ce)
//   ce = scale * lambda * weight[label] * (p[c] - t) where CE, else 0
//
// x, t, confidence, lambda   as in dice_softmax.wgsl     weight [C] f32, of the cross entropy, read where WEIGHTED
// coef      [N, C] or, where BATCH, [C] vec2 f32, and scale [1] f32, left by dice_finish.wgsl
// dy        [1] f32           dx   [N, C, S] f32; 0 at pixels left out
// grid      linear over pixels, one thread for all classes of one, folded at 65,535 workgroups
// numerics  the softmax is computed again, largest logit subtracted
// source    Milletari et al. 2016, arXiv:1606.04797; Tversky: Salehi et al. 2017, arXiv:1706.05721
// used by src/kernels/loss/dice.ts

alias T = f32;                 // of the target
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 2;
const S: u32 = 100;            // pixels per plane
const IGNORE: i32 = -100;
const POWER: f32 = 2.0;
const BATCH: bool = true;
const SQUARED: bool = false;
const LABELS: bool = false;
const CE: bool = false;
const WEIGHTED: bool = false;
const DIFFICULTY: bool = false;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<T>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> confidence: array<f32>;
@group(0) @binding(4) var<storage, read> coef: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> scale: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

fn difficulty(m: f32) -> f32 {
  let d = abs(1.0 - m);
  if (POWER == 2.0) { return d * d + d; }
  return pow(max(d, 1e-30), POWER) + d;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dx) / C) { return; }
  let n = i / S;
  let first = n * (C * S) + i % S;
  var label = 0u;
  if (LABELS) {
    label = u32(t[i]);
    if (label >= C || i32(label) == IGNORE) {
      for (var c = 0u; c < C; c++) { dx[first + c * S] = 0.0; }
      return;
    }
  }
  var p: array<f32, C>;
  var largest = x[first];
  for (var c = 0u; c < C; c++) {
    p[c] = x[first + c * S];
    largest = max(largest, p[c]);
  }
  var sum = 0.0;
  for (var c = 0u; c < C; c++) {
    p[c] = exp(p[c] - largest);
    sum += p[c];
  }
  var dp: array<f32, C>;
  var mean = 0.0;   // of dp under p
  for (var c = 0u; c < C; c++) {
    p[c] /= sum;
    var goal = 0.0;
    if (LABELS) { goal = select(0.0, 1.0, label == c); } else { goal = f32(t[first + c * S]); }
    let ab = coef[select(n * C + c, c, BATCH)];
    dp[c] = ab.x * goal + ab.y * select(1.0, 2.0 * p[c], SQUARED);
    mean += p[c] * dp[c];
  }
  var share = 0.0;
  if (CE) {
    share = scale[0];
    if (WEIGHTED) { share *= weight[label]; }
    if (DIFFICULTY) { share *= difficulty(confidence[i]); }
  }
  for (var c = 0u; c < C; c++) {
    dx[first + c * S] = dy[0] * (p[c] * (dp[c] - mean) + share * (p[c] - select(0.0, 1.0, label == c)));
  }
}
