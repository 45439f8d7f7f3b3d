// dice_softmax.wgsl: what overlap losses need of every class of a softmax, and its cross entropy, as partial sums.
//
//   partials[n,c,k] = (sum p t, sum p, sum t, sum lambda * ce * t)  over chunk k;   p = softmax over c of x
//   SQUARED: sum p^2 and sum t^2 instead
//
// x         [N, C, S] f32 logits, C <= 16
// t         [N, C, S] f32, or where LABELS i32 or u32 class numbers [N, S]; pixels of IGNORE or no class are left out
// M         [N, S] f32, the buffer confidence, read where DIFFICULTY: lambda = (1 - M)^POWER + |1 - M|, else 1
// CE        sums ce = -log p
// partials  [N, C, CHUNKS] vec4 f32
// grid      one workgroup per (n, chunk), folded at 65,535
// numerics  f32; always the same order of additions; largest logit subtracted
// source    Milletari et al. 2016, arXiv:1606.04797; Tversky: Salehi et al. 2017, arXiv:1706.05721
// used by src/kernels/loss/dice.ts

alias T = f32;                 // of the target
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 2;
const S: u32 = 100;            // pixels per plane
const CHUNKS: u32 = 1;
const IGNORE: i32 = -100;
const POWER: f32 = 2.0;
const SQUARED: bool = false;
const LABELS: bool = false;
const CE: bool = false;
const DIFFICULTY: bool = false;
const_assert WG == 64;         // two rounds of 8 sum a workgroup
const_assert C <= 16;          // 16 KiB of workgroup memory

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<T>;
@group(0) @binding(2) var<storage, read> confidence: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

var<workgroup> sh_sums: array<vec4f, C * WG>;

fn difficulty(m: f32) -> f32 {
  let d = abs(1.0 - m);
  if (POWER == 2.0) { return d * d + d; }
  return pow(max(d, 1e-30), POWER) + d;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = id.y * groups.x + id.x;
  if (group >= arrayLength(&partials) / C) { return; }
  let n = group / CHUNKS;
  let chunk = group % CHUNKS;
  var sums: array<vec4f, C>;
  for (var s = chunk * WG + local; s < S; s += CHUNKS * WG) {
    let first = n * (C * S) + s;
    var label = 0u;
    if (LABELS) {
      label = u32(t[n * S + s]);
      if (label >= C || i32(label) == IGNORE) { continue; }
    }
    var shifted: array<f32, C>;   // x less the largest
    var largest = x[first];
    for (var c = 0u; c < C; c++) {
      shifted[c] = x[first + c * S];
      largest = max(largest, shifted[c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < C; c++) {
      shifted[c] -= largest;
      sum += exp(shifted[c]);
    }
    var lambda = 1.0;
    if (DIFFICULTY) { lambda = difficulty(confidence[n * S + s]); }
    for (var c = 0u; c < C; c++) {
      let p = exp(shifted[c]) / sum;
      var goal = 0.0;
      if (LABELS) { goal = select(0.0, 1.0, label == c); } else { goal = f32(t[first + c * S]); }
      sums[c] += vec4f(p * goal, select(p, p * p, SQUARED), select(goal, goal * goal, SQUARED), 0.0);
      if (CE) { sums[c].w += lambda * goal * (log(sum) - shifted[c]); }
    }
  }
  for (var c = 0u; c < C; c++) { sh_sums[c * WG + local] = sums[c]; }
  workgroupBarrier();
  for (var k = local; k < C * 8; k += WG) {   // each adds up eight neighbours
    var sum = sh_sums[k * 8];
    for (var j = k * 8 + 1; j < k * 8 + 8; j++) { sum += sh_sums[j]; }
    sh_sums[k * 8] = sum;
  }
  workgroupBarrier();
  if (local < C) {
    var sum = sh_sums[local * WG];
    for (var j = local * WG + 8; j < local * WG + WG; j += 8) { sum += sh_sums[j]; }
    partials[(n * C + local) * CHUNKS + chunk] = sum;
  }
}
