// squeeze_excitation.wgsl: the gate of a squeeze-and-excitation block, from sums of planes to one factor per channel.
//
//   squeezed[n,c] = sum over t of partial[n,c,t] / size
//   hidden[n,r] = relu(sum over c of w1[r,c] * squeezed[n,c] + b1[r])
//   gate[n,c] = sigmoid(sum over r of w2[c,r] * hidden[n,r] + b2[c])
//
// partial   [N, C, T] from plane_sum.wgsl; w1 [R, C]; w2 [C, R]
// b1, b2    [R], [C]; bound to anything where HAS_B1, HAS_B2 are false
// grid      one workgroup per sample; share_c threads share a sum over R or T, share_r threads one over C; fixed order
// numerics  f32; the exponent of the sigmoid is kept within +-80
// source    Hu et al. 2018, arXiv:1709.01507
// used by src/kernels/squeezeExcitation.ts
const HAS_B1: bool = true;
const HAS_B2: bool = true;
const WG: u32 = 128;       // threads per workgroup
const UNITS: u32 = 3968;   // channels and hidden units at most

struct Block {
  channels: u32,
  hidden: u32,    // units
  slices: u32,    // per plane
  size: u32,      // values per plane
  share_c: u32,   // threads that share one of `channels` results; divides WG, as share_r does
  share_r: u32,   // threads that share one of `hidden` results
}

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read> w1: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<f32>;
@group(0) @binding(3) var<storage, read> w2: array<f32>;
@group(0) @binding(4) var<storage, read> b2: array<f32>;
@group(0) @binding(5) var<storage, read_write> squeezed: array<f32>;
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(7) var<storage, read_write> gate: array<f32>;
var<immediate> s: Block;

var<workgroup> sh_part: array<f32, WG>;
var<workgroup> sh_units: array<f32, UNITS>;   // squeezed channels, then hidden units

// The sum of what `helpers` neighbouring threads hold, in the first of them.
fn share(t: u32, value: f32, helpers: u32) -> f32 {
  workgroupBarrier();
  sh_part[t] = value;
  workgroupBarrier();
  var sum = 0.0;
  if (t % helpers == 0) {
    for (var j = 0u; j < helpers; j++) { sum += sh_part[t + j]; }
  }
  return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n = group.x;
  let t = local.x;
  for (var c0 = 0u; c0 < s.channels; c0 += WG / s.share_c) {
    let c = c0 + t / s.share_c;
    var sum = 0.0;
    if (c < s.channels) {
      for (var k = t % s.share_c; k < s.slices; k += s.share_c) { sum += partial[(n * s.channels + c) * s.slices + k]; }
    }
    let total = share(t, sum, s.share_c) / f32(s.size);
    if (t % s.share_c == 0 && c < s.channels) {
      sh_units[c] = total;
      squeezed[n * s.channels + c] = total;
    }
  }
  workgroupBarrier();
  for (var r0 = 0u; r0 < s.hidden; r0 += WG / s.share_r) {
    let r = r0 + t / s.share_r;
    var sum = 0.0;
    if (r < s.hidden) {
      for (var c = t % s.share_r; c < s.channels; c += s.share_r) { sum += w1[r * s.channels + c] * sh_units[c]; }
    }
    var total = share(t, sum, s.share_r);
    if (t % s.share_r == 0 && r < s.hidden) {
      if (HAS_B1) { total += b1[r]; }
      sh_units[s.channels + r] = max(total, 0.0);
      hidden[n * s.hidden + r] = max(total, 0.0);
    }
  }
  workgroupBarrier();
  for (var c0 = 0u; c0 < s.channels; c0 += WG / s.share_c) {
    let c = c0 + t / s.share_c;
    var sum = 0.0;
    if (c < s.channels) {
      for (var r = t % s.share_c; r < s.hidden; r += s.share_c) { sum += w2[c * s.hidden + r] * sh_units[s.channels + r]; }
    }
    var total = share(t, sum, s.share_c);
    if (t % s.share_c == 0 && c < s.channels) {
      if (HAS_B2) { total += b2[c]; }
      gate[n * s.channels + c] = 1.0 / (1.0 + exp(-clamp(total, -80.0, 80.0)));   // exp stays finite
    }
  }
}
