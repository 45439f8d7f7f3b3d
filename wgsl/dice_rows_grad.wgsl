// dice_rows_grad.wgsl: the gradient of an overlap loss with respect to probabilities or the logits of a sigmoid.
//
//   dp = coef[row].x * t + coef[row].y * (1, or 2p where SQUARED)
//   dx = dy * dp, or where SIGMOID  dy * (dp * p (1 - p) + scale * (p - t))
//
// x, t      as in dice_rows.wgsl
// coef      [N, C] or, where BATCH, [C] vec2 f32, and scale [1] f32, left by dice_finish.wgsl; scale is read where BCE
// dy        [1] f32           dx   [N, C, S] f32
// grid      linear, one thread per element, folded at 65,535 workgroups
// numerics  sigmoid from exp(-|x|), so that no exponential overflows
// source    Milletari et al. 2016, arXiv:1606.04797; Tversky: Salehi et al. 2017, arXiv:1706.05721
// used by src/kernels/loss/dice.ts

alias T = f32;                 // of the target
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 1;
const S: u32 = 100;            // pixels per plane
const BATCH: bool = true;
const SIGMOID: bool = true;
const SQUARED: bool = false;
const LABELS: bool = false;
const BCE: bool = false;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<T>;
@group(0) @binding(2) var<storage, read> coef: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dx)) { return; }
  let row = i / S;
  let c = row % C;
  var p = x[i];
  if (SIGMOID) {
    let e = exp(-abs(p));
    p = select(e, 1.0, p >= 0.0) / (1.0 + e);
  }
  var goal = 0.0;
  if (LABELS) {
    goal = select(0.0, 1.0, u32(t[row / C * S + i % S]) == select(c, 1u, C == 1));
  } else {
    goal = f32(t[i]);
  }
  let ab = coef[select(row, c, BATCH)];
  var slope = ab.x * goal + ab.y * select(1.0, 2.0 * p, SQUARED);
  if (SIGMOID) { slope *= p * (1.0 - p); }
  if (BCE) { slope += scale[0] * (p - goal); }
  dx[i] = dy[0] * slope;
}
