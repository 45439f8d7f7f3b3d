// cross_entropy.wgsl: softmax and negative log likelihood of every pixel, or their partial sums.
//
//   ce = sum over c of q[c] * (log(sum exp x) - x[c])
//   q[c] = SMOOTHING / C * weight[c], and at the label t also (1 - SMOOTHING) * weight[t]
//   y[n,s] = lambda * ce; 0 where the label is IGNORE or no class
//   lambda = (1 - M)^POWER + |1 - M| where DIFFICULTY, else 1
//
// x [N, C, S] f32   labels [N, S] i32 or u32   weight [C] f32, read when WEIGHTED
// M         [N, S] f32, the buffer confidence, read when DIFFICULTY
// y         REDUCE false: [N, S];  true: [workgroups, 4], sums of lambda * ce, weight[t], lambda, ce
// grid      up to 1,024 workgroups, threads stride over the pixels
// numerics  online softmax: one pass, largest logit subtracted
// source    difficulty: MSALDS-UNet, equations 1 and 2
// used by src/kernels/loss/crossEntropy.ts, difficulty.ts

alias T = i32;                 // of the labels
const WG: u32 = 256;           // threads per workgroup
const C: u32 = 2;
const S: u32 = 100;            // pixels per plane
const IGNORE: i32 = -100;
const SMOOTHING: f32 = 0.0;
const POWER: f32 = 2.0;
const REDUCE: bool = true;
const WEIGHTED: bool = false;
const DIFFICULTY: bool = false;
const_assert WG == 256;        // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<T>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> confidence: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sums: array<vec4f, WG>;

fn weight_of(c: u32) -> f32 {
  if (WEIGHTED) { return weight[c]; }
  return 1.0;
}

fn difficulty(m: f32) -> f32 {
  let d = abs(1.0 - m);
  if (POWER == 2.0) { return d * d + d; }
  return pow(max(d, 1e-30), POWER) + d;
}

// The cross entropy of the pixel whose first logit stands at `first`.
fn cross_entropy(first: u32, label: u32) -> f32 {
  var largest = x[first];
  var sum = 1.0;
  var all = weight_of(0);             // sum of weight[c] and of weight[c] * x[c], for the smoothing
  var all_x = weight_of(0) * largest;
  for (var c = 1u; c < C; c++) {
    let v = x[first + c * S];
    let m = max(largest, v);
    sum = sum * exp(largest - m) + exp(v - m);
    largest = m;
    if (SMOOTHING > 0.0) {
      all += weight_of(c);
      all_x += weight_of(c) * v;
    }
  }
  let log_sum = log(sum);
  let hard = (1.0 - SMOOTHING) * weight_of(label) * (log_sum - (x[first + label * S] - largest));
  if (SMOOTHING == 0.0) { return hard; }
  return hard + SMOOTHING / f32(C) * (all * (log_sum + largest) - all_x);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  var sums = vec4f();
  for (var i = group.x * WG + local; i < arrayLength(&labels); i += groups.x * WG) {
    let label = u32(labels[i]);   // negative ones become huge
    var ce = 0.0;
    var lambda = 1.0;
    if (label < C && i32(label) != IGNORE) {
      ce = cross_entropy(i / S * (C * S) + i % S, label);
      if (DIFFICULTY) { lambda = difficulty(confidence[i]); }
      sums += vec4f(lambda * ce, weight_of(label), lambda, ce);
    }
    if (!REDUCE) { y[i] = lambda * ce; }
  }
  if (!REDUCE) { return; }
  sh_sums[local] = sums;
  workgroupBarrier();
  if (local < 16) {
    for (var k = local + 16; k < WG; k += 16) { sums += sh_sums[k]; }
    sh_sums[local] = sums;
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 16; k++) { sums += sh_sums[k]; }
    for (var k = 0u; k < 4; k++) { y[group.x * 4 + k] = sums[k]; }
  }
}
