// dice_finish.wgsl: an overlap loss and the coefficients of its gradient, from the sums of dice_rows or dice_softmax.
//
//   score[r] = (NUM * pt + SMOOTH) / (DEN * pt + P * p + T * t + SMOOTH)   r = (n, c), or with BATCH c over the batch
//   y = DICE_SCALE * mean over r, weighted, of (1 - score[r]) + CE_SCALE * mean cross entropy
//
// partials  [N, C, CHUNKS] vec4 f32   sums of p t, p, t, cross entropy
// weight, ce_weight  [C] f32, of the score and of the cross entropy, read where WEIGHTED, CE_WEIGHTED
// coef      [R] vec2 f32   d y / d p = coef.x * t + coef.y * d p / d x
// scale     [1] f32        the cross entropy's share of one pixel
// CE        0 none, 1 binary (mean over all N C S elements), 2 of classes (mean over the weights of the labels met)
// FIRST     classes below it do not count
// grid      one workgroup; LANES threads share a row
// numerics  f32; always the same order of additions; divisors are at least 1e-30
// source    Milletari et al. 2016, arXiv:1606.04797; Tversky: Salehi et al. 2017, arXiv:1706.05721
// used by src/kernels/loss/dice.ts

const WG: u32 = 256;           // threads per workgroup
const LANES: u32 = 16;
const C: u32 = 2;
const S: u32 = 100;            // pixels per plane
const CHUNKS: u32 = 1;
const BATCH: bool = true;
const FIRST: u32 = 0;
const NUM: f32 = 2.0;
const DEN: f32 = 0.0;
const P: f32 = 1.0;
const T: f32 = 1.0;
const SMOOTH: f32 = 1e-5;
const DICE_SCALE: f32 = 1.0;
const CE_SCALE: f32 = 0.0;
const CE: u32 = 0;
const WEIGHTED: bool = false;
const CE_WEIGHTED: bool = false;
const_assert WG == 256 && WG % LANES == 0;   // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> ce_weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> coef: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sums: array<vec4f, WG>;

fn weight_of(c: u32) -> f32 {
  if (c < FIRST) { return 0.0; }
  if (WEIGHTED) { return weight[c]; }
  return 1.0;
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) local: u32) {
  let samples = arrayLength(&partials) / (C * CHUNKS);
  let rows = select(samples * C, C, BATCH);
  let terms = select(CHUNKS, samples * CHUNKS, BATCH);   // partial sums of a row
  var weights = 0.0;
  for (var c = 0u; c < C; c++) { weights += weight_of(c); }
  weights = max(weights * f32(rows / C), 1e-30);
  let lane = local % LANES;

  var totals = vec3f();   // weighted losses, cross entropy, its divisor
  for (var base = 0u; base < rows; base += WG / LANES) {
    let row = base + local / LANES;
    var sums = vec4f();
    for (var k = lane; k < terms && row < rows; k += LANES) {
      sums += partials[select(row * CHUNKS + k, (k / CHUNKS * C + row) * CHUNKS + k % CHUNKS, BATCH)];
    }
    sh_sums[local] = sums;
    workgroupBarrier();
    if (lane == 0 && row < rows) {
      for (var k = local + 1; k < local + LANES; k++) { sums += sh_sums[k]; }
      let c = row % C;
      let top = NUM * sums.x + SMOOTH;
      let bottom = max(DEN * sums.x + P * sums.y + T * sums.z + SMOOTH, 1e-30);
      let share = DICE_SCALE * weight_of(c) / weights;
      coef[row] = share / bottom * vec2f(top / bottom * DEN - NUM, top / bottom * P);
      var of_ce = 1.0;
      if (CE_WEIGHTED) { of_ce = ce_weight[c]; }
      totals += vec3f(share * (1.0 - top / bottom), of_ce * sums.w, of_ce * sums.z);
    }
    workgroupBarrier();
  }
  sh_sums[local] = vec4f(totals, 0.0);
  workgroupBarrier();
  if (local < 16) {
    for (var k = local + 16; k < WG; k += 16) { totals += sh_sums[k].xyz; }
    sh_sums[local] = vec4f(totals, 0.0);
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 16; k++) { totals += sh_sums[k].xyz; }
    var divisor = totals.z;
    if (CE == 1) { divisor = f32(samples) * f32(C) * f32(S); }
    let share = select(0.0, CE_SCALE / max(divisor, 1e-30), CE != 0 && divisor > 0.0);
    scale[0] = share;
    y[0] = totals.x + share * totals.y;
  }
}
