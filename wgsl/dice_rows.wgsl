// dice_rows.wgsl: what overlap losses need of every (n, c) plane, as partial sums.
//
//   partials[n,c,k] = (sum p t, sum p, sum t, sum bce)  over chunk k;   p = x or sigmoid(x)
//   SQUARED: sum p^2 and sum t^2 instead
//
// x         [N, C, S] f32 probabilities, or logits where SIGMOID
// t         [N, C, S] f32, or where LABELS i32 or u32 class numbers [N, S]: t = 1 where the label is c (1 when C = 1)
// partials  [N, C, CHUNKS] vec4 f32   bce, the cross entropy of the logits with t, is summed where BCE
// grid      one workgroup per (n, c, chunk), folded at 65,535
// numerics  f32; always the same order of additions; sigmoid and cross entropy from exp(-|x|)
// source    Milletari et al. 2016, arXiv:1606.04797; Tversky: Salehi et al. 2017, arXiv:1706.05721
// used by src/kernels/loss/dice.ts

alias T = f32;                 // of the target
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 1;
const S: u32 = 100;            // pixels per plane
const CHUNKS: u32 = 1;
const SIGMOID: bool = true;
const SQUARED: bool = false;
const LABELS: bool = false;
const BCE: bool = false;
const_assert WG == 64;         // two rounds of 8 sum a workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<T>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

var<workgroup> sh_sums: array<vec4f, WG>;

// log(1 + e) for e in [0, 1]; the series keeps what 1 + e would round away.
fn log1p(e: f32) -> f32 {
  return select(log(1.0 + e), e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * 0.2)))), e < 0.03);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = id.y * groups.x + id.x;
  if (group >= arrayLength(&partials)) { return; }
  let row = group / CHUNKS;
  let c = row % C;
  let class_number = select(c, 1u, C == 1);
  var sums = vec4f();
  for (var s = group % CHUNKS * WG + local; s < S; s += CHUNKS * WG) {
    let v = x[row * S + s];
    var p = v;
    let e = exp(-abs(v));
    if (SIGMOID) { p = select(e, 1.0, v >= 0.0) / (1.0 + e); }
    var goal = 0.0;
    if (LABELS) {
      goal = select(0.0, 1.0, u32(t[row / C * S + s]) == class_number);
    } else {
      goal = f32(t[row * S + s]);
    }
    sums += vec4f(p * goal, select(p, p * p, SQUARED), select(goal, goal * goal, SQUARED), 0.0);
    if (BCE) { sums.w += (1.0 - goal) * max(v, 0.0) + goal * max(-v, 0.0) + log1p(e); }
  }
  sh_sums[local] = sums;
  workgroupBarrier();
  if (local < 8) {
    for (var k = local + 8; k < WG; k += 8) { sums += sh_sums[k]; }
    sh_sums[local] = sums;
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 8; k++) { sums += sh_sums[k]; }
    partials[group] = sums;
  }
}
